"""When do two class names mean the same class? Case and underscores, plurals, articles, word order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal, NamedTuple

from sar_reg.class_names import fold, spoken

_EITHER = re.compile(r"\s+or\s+", re.IGNORECASE)
_LITTLE_WORDS = frozenset({"a", "an", "the", "of"})
_KEEP_FINAL_S = ("ss", "us", "is")
_IRREGULAR = {
    "wolves": "wolf", "knives": "knife", "leaves": "leaf", "loaves": "loaf", "shelves": "shelf", "calves": "calf",
    "scarves": "scarf", "halves": "half", "mice": "mouse", "geese": "goose", "feet": "foot", "teeth": "tooth",
    "men": "man", "women": "woman", "children": "child", "buses": "bus", "shoes": "shoe", "canoes": "canoe",
}  # fmt: skip
_UNCHANGED = frozenset(
    "aircraft bison cattle deer fish moose salmon series sheep shrimp species squid swine trout".split()
)
_PLURAL_OF = {singular: plural for plural, singular in _IRREGULAR.items()}


def words(name: str) -> tuple[str, ...]:
    """The words of a name for comparing: no accents, apostrophes, punctuation, articles or plural endings.

    Examples:
        >>> words("The Crème-brûlées"), words("shepherd's dogs")
        (('creme', 'brulee'), ('shepherd', 'dog'))
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    found = re.findall(r"[^\W_]+", re.sub(r"['’ʼ]", "", plain.casefold()))
    kept = [word for word in found if word not in _LITTLE_WORDS] or found
    return tuple(_singular(word) for word in kept)


def _singular(word: str) -> str:
    forms = singular_forms(word)
    if forms and re.search(r"(?:..ies|sses|shes|ches|xes|zes|oes)$", word):
        return forms[-1]
    return forms[0] if forms else word


def singular_forms(phrase: str) -> list[str]:
    """What a phrase in lower case can be the plural of, likeliest first; empty if it does not look like a plural.

    Examples:
        >>> singular_forms("border collies"), singular_forms("wolves"), singular_forms("glass")
        (['border collie', 'border colly'], ['wolf'], [])
    """
    *before, word = phrase.split(" ")
    if word in _IRREGULAR:
        forms = [_IRREGULAR[word]]
    elif len(word) <= 3 or word.endswith(_KEEP_FINAL_S) or not word.endswith("s"):
        forms = list[str]()
    elif word.endswith("ies"):
        forms = [word[:-1], word[:-3] + "y"]
    else:
        forms = [word[:-1], *([word[:-2]] if word.endswith("es") else [])]
    return [" ".join([*before, form]) for form in forms]


def plural_of(phrase: str) -> str:
    """The plural of a phrase: "wolf" → "wolves", "maid of honor" → "maids of honor".

    Examples:
        >>> plural_of("border collie"), plural_of("wolf"), plural_of("wild sheep"), plural_of("fly")
        ('border collies', 'wolves', 'wild sheep', 'flies')
    """
    head, of, rest = phrase.partition(" of ")
    *before, word = head.split(" ")
    if word.lower() in _PLURAL_OF:
        word = _PLURAL_OF[word.lower()]
    elif word.lower() in _UNCHANGED or word.endswith("ese") or (word.endswith("s") and word[:1].isupper()):
        pass
    elif word.endswith("y") and word[-2:-1] not in "aeiou":
        word = word[:-1] + "ies"
    elif word.endswith(("s", "x", "z", "ch", "sh")):
        word += "es"
    else:
        word += "s"
    return " ".join([*before, word]) + of + rest


def _keys(parts: tuple[str, ...]) -> tuple[str, str]:
    return " ".join(sorted(parts)), "".join(parts)


def _designations(parts: tuple[str, ...]) -> list[str]:
    """What remains of "boeing 737 300" when its leading words without a digit are taken off: "737 300"."""
    first = next((i for i, part in enumerate(parts) if any(c.isdigit() for c in part)), 0)
    return ["".join(parts[start:]) for start in range(1, first + 1)]


class Match(NamedTuple):
    """A known name found again: word for word up to case, or in another spelling."""

    kind: Literal["same", "near"]
    known: str


class KnownNames:
    """A set of class names that can be asked whether it holds a name, or nearly holds it.

    Nearly means: equal up to plural, article, accents, punctuation, hyphen or space, and word order, or up to
    the maker's name before a designation with digits ("Airbus A310" and "A310"), or one of two names ("sea or lake").

    Examples:
        >>> known = KnownNames(["hot dog", "A310"])
        >>> known.match("the hotdogs"), known.match("Airbus A310"), known.match("cat")
        (Match(kind='near', known='hot dog'), Match(kind='near', known='A310'), None)
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._folded: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self._designations: dict[str, str] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Put a name into the set."""
        parts = words(name)
        self._folded.setdefault(fold(name), name)
        for alternative in (name, *_EITHER.split(spoken(name))):
            for key in _keys(words(alternative)):
                self._keys.setdefault(key, name)
        for rest in _designations(parts):
            self._designations.setdefault(rest, name)

    def match(self, name: str) -> Match | None:
        """The known name that this one is or nearly is, if there is one."""
        if (same := self._folded.get(fold(name))) is not None:
            return Match("same", same)
        parts = words(name)
        keys = (*_keys(parts), *_designations(parts)) if parts else ()
        near = next(
            (self._keys[key] for key in keys if key in self._keys), self._designations.get("".join(parts))
        )
        return None if near is None else Match("near", near)
