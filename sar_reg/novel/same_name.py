"""When do two class names mean the same class? Case and underscores, plurals, articles, word order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

_LITTLE_WORDS = frozenset({"a", "an", "the", "of"})
_KEEP_FINAL_S = ("ss", "us", "is")


def fold(name: str) -> str:
    """The form in which two class names count as the same: case folded, `_` and runs of spaces as one space.

    Examples:
        >>> fold("Tabby_Cat ") == fold("tabby  cat")
        True
    """
    return " ".join(name.replace("_", " ").casefold().split())


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
    if len(word) <= 3 or word.endswith(_KEEP_FINAL_S) or not word.endswith("s"):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    return word[:-1]


def _keys(parts: tuple[str, ...]) -> tuple[str, str]:
    return " ".join(sorted(parts)), "".join(parts)


def _designations(parts: tuple[str, ...]) -> list[str]:
    """What remains of "boeing 737 300" when its leading words without a digit are taken off: "737 300"."""
    first = next((i for i, part in enumerate(parts) if any(c.isdigit() for c in part)), 0)
    return ["".join(parts[start:]) for start in range(1, first + 1)]


class KnownNames:
    """A set of class names that can be asked whether it holds a name, or nearly holds it.

    Nearly means: equal up to plural, article, accents, punctuation, hyphen or space, and word order, or up to
    the maker's name before a designation with digits ("Airbus A310" and "A310").

    Examples:
        >>> known = KnownNames(["hot dog", "A310"])
        >>> known.match("Hot_Dog"), known.match("the hotdogs"), known.match("Airbus A310"), known.match("cat")
        ('same', 'near', 'near', None)
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._folded: set[str] = set()
        self._keys: set[str] = set()
        self._designations: set[str] = set()
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Put a name into the set."""
        parts = words(name)
        self._folded.add(fold(name))
        self._keys.update(_keys(parts))
        self._designations.update(_designations(parts))

    def match(self, name: str) -> Literal["same", "near"] | None:
        """Whether the set holds this name ("same"), another spelling of it ("near"), or neither (None)."""
        if fold(name) in self._folded:
            return "same"
        parts = words(name)
        if not parts:
            return None
        with_maker = any(rest in self._keys for rest in _designations(parts))
        if not self._keys.isdisjoint(_keys(parts)) or with_maker or "".join(parts) in self._designations:
            return "near"
        return None
