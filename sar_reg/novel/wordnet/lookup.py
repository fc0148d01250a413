"""Which WordNet meanings a class name can have: "tabby cat" whole, "2012 Acura RL Sedan" by its head "sedan"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sar_reg.errors import InputError
from sar_reg.novel.same_name import singular_forms
from sar_reg.novel.wordnet.graph import INSTANCE, NOUN, WordNet
from sar_reg.novel.wordnet.limits import HEAD_SHARE, MOST_WORDS

_LONGEST_PHRASE = 5
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ASIDE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_AFTER_HEAD = {"of", "in", "on", "at", "with", "for", "from", "to", "and", "or", "by"}


@dataclass(frozen=True)
class Reading:
    """One meaning that a class name can have; `share` is how likely it is before the other names are considered.

    `whole`: the whole name was found, not only its head. `plural`: the name is a plural.
    """

    synset: int
    share: float
    whole: bool
    plural: bool


def tokens(name: str) -> list[str]:
    """The words of a class name as written, split at spaces, "_", "/" and inside CamelCase.

    Examples:
        >>> tokens("Apply_EyeMakeup"), tokens("F/A-18")
        (['Apply', 'Eye', 'Makeup'], ['F', 'A-18'])
    """
    return _CAMEL.sub(" ", re.sub(r"[_/,()\[\]]", " ", name)).split()


def look_up(wordnet: WordNet, name: str) -> list[Reading]:
    """The meanings of a class name; an empty list for single letters, codes and unknown words.

    The whole name is looked up first, then its head: the last words, or those before a preposition. A word with
    a digit in it is a code ("M6", "737-300"), and a name that holds one is not looked up; years are skipped.

    Raises:
        InputError: if the name has more than `MOST_WORDS` words.
    """
    words = tokens(_ASIDE.sub(" ", name))
    if len(words) > MOST_WORDS:
        raise InputError(f"{name[:40]!r}... has {len(words)} words; pass class names of at most {MOST_WORDS}")
    words = [word.lower() for word in words if not word.isdecimal()]
    if any(c.isdigit() for word in words for c in word):
        return []
    for part in _parts(words):
        if found := _meanings(wordnet, part, whole=part == words):
            return found
    return []


def meaning_of_domain(wordnet: WordNet, domain: str) -> int:
    """The most frequent noun meaning of the domain.

    Raises:
        InputError: if WordNet has no such noun.
    """
    found = _meanings(wordnet, [word.lower() for word in tokens(domain)], whole=True)
    nouns = [r for r in found if wordnet.kind[r.synset] == NOUN and not wordnet.flags[r.synset] & INSTANCE]
    if not nouns:
        raise InputError(
            f'WordNet does not know the domain "{domain}"; pass one noun for what all classes are, such as "bird"'
        )
    return max(nouns, key=lambda reading: reading.share).synset


def _parts(words: list[str]) -> Iterator[list[str]]:
    """The whole name, then its last words, longest first; of "bridge at night" also those before "at"."""
    cut = next((i for i, word in enumerate(words) if word in _AFTER_HEAD and i > 0), len(words))
    yield words
    for start in range(max(0, cut - _LONGEST_PHRASE), cut):
        if words[start:cut] != words:
            yield words[start:cut]


def _meanings(wordnet: WordNet, words: Sequence[str], *, whole: bool) -> list[Reading]:
    """The meanings of a phrase, or of what it is the plural of."""
    phrase = " ".join(words)
    if sum(c.isalpha() for c in phrase) < 2:
        return []
    spellings = (phrase, phrase.replace(" ", "-"), phrase.replace("-", " "), re.sub("[ -]", "", phrase))
    singular = [form for form in singular_forms(phrase) if form not in spellings]
    word = next((form for form in (*spellings, *singular) if form in wordnet.index), None)
    if word is None:
        return []
    weights = wordnet.uses(word)
    total = sum(weights.values()) + wordnet.elsewhere.get(word, 0)
    trust = 1.0 if whole else HEAD_SHARE
    return [Reading(s, trust * weight / total, whole, word in singular) for s, weight in weights.items()]
