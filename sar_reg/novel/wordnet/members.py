"""Choose names for a list of classes: members of its categories, in proportion, most frequent first."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from sar_reg.novel.wordnet.graph import ADJECTIVE, INSTANCE, NOUN, WordNet
from sar_reg.novel.wordnet.kinds import Kind, says_something
from sar_reg.novel.wordnet.limits import COMMON, DEEPER, MORE_GENERAL, SMALL_FAMILY, WIDEST_ABSTRACT
from sar_reg.novel.wordnet.lookup import Reading
from sar_reg.novel.wordnet.naming import ClassWords, words_of


class Member(NamedTuple):
    """A candidate name, and whether it is in the categories, in a broader one, or drawn at random."""

    name: str
    origin: Literal["kind", "wider", "random"]


def own_meanings(wordnet: WordNet, readings: Sequence[Reading], meant: int | None) -> set[int]:
    """The meanings of a class name: the one `meant`, or all possible ones, and the family of its head."""
    found: set[int] = set()
    for reading in readings:
        if not reading.whole and wordnet.sizes[0, reading.synset] <= SMALL_FAMILY:
            found |= wordnet.below(reading.synset)
        elif reading.whole and meant in (None, reading.synset):
            same = (s for s in wordnet.links[reading.synset] if wordnet.kind[s] == NOUN)
            found |= {reading.synset, *same}
    return found


def members(wordnet: WordNet, kinds: Sequence[Kind], taken: set[int], seed: int) -> Iterator[Member]:
    """Names of the kinds, then of what is wider, then common nouns at random; no kind of an earlier name.

    Nothing in `taken`, or below it, is returned; `seed` orders names of about equal frequency.
    """
    words, rng = words_of(wordnet), random.Random(seed)
    given = taken | words.blocked
    given.update(*(wordnet.below(synset) for synset in taken if wordnet.sizes[0, synset] <= WIDEST_ABSTRACT))
    for kind in kinds:
        for synset in kind.classes.values():
            given.update(wordnet.above[synset])
    fronts = [{kind.synset} for kind in kinds]
    origin: Literal["kind", "wider"] = "kind"
    while any(fronts):
        queues = [
            _ordered(words, _fitting(wordnet, kind, front) - given, rng)
            for kind, front in zip(kinds, fronts, strict=True)
        ]
        for synset, name in _in_proportion(queues, [kind.weight for kind in kinds]):
            if synset not in given:
                given.add(synset)
                if wordnet.kind[synset] == NOUN:
                    given |= wordnet.below(synset).union(wordnet.above[synset])
                yield Member(name, origin)
        fronts, origin = [_wider(wordnet, front) for front in fronts], "wider"
    given |= words.not_at_random
    nouns = (i for i, kind in enumerate(wordnet.kind) if kind == NOUN and not wordnet.flags[i] & INSTANCE)
    best = (words.best(i) or ("", 0.0) for i in nouns if i not in given)
    found = [name for name, good in best if good > COMMON and name == name.lower()]
    rng.shuffle(found)
    yield from (Member(name, "random") for name in found)


def _fitting(wordnet: WordNet, kind: Kind, front: set[int]) -> set[int]:
    """Everything below the front that is about as general as the classes, and proper nouns only if they are."""
    below = set[int]().union(*(wordnet.below(synset) for synset in front))
    classes = kind.classes.values()
    general = MORE_GENERAL * max([2, *(int(wordnet.sizes[0, synset]) for synset in kind.whole.values())])
    proper = sum(bool(wordnet.flags[synset] & INSTANCE) for synset in classes) * 2 > len(classes)
    of_sort = {s for s in below if bool(wordnet.flags[s] & INSTANCE) == proper}
    found = {s for s in of_sort if wordnet.sizes[0, s] <= general}
    if front != {kind.synset} or not classes:
        return found
    steps = [wordnet.ancestors(synset)[kind.synset] for synset in classes]
    return {s for s in found if min(steps) <= wordnet.ancestors(s)[kind.synset] <= max(steps) + DEEPER}


def _wider(wordnet: WordNet, front: set[int]) -> set[int]:
    """The parents that are specific enough; for adjectives the clusters that WordNet links."""
    wider: set[int] = set()
    for synset in front:
        near = wordnet.links[synset] if wordnet.kind[synset] == ADJECTIVE else wordnet.parents[synset]
        wider.update(s for s in near if wordnet.kind[s] == wordnet.kind[synset])
    return {synset for synset in wider - front if says_something(wordnet, synset)}


def _ordered(words: ClassWords, synsets: set[int], rng: random.Random) -> list[tuple[int, str]]:
    """Common names first, in steps of a tenth, within which the order is random."""
    named = [(synset, *best) for synset in sorted(synsets) if (best := words.best(synset))]
    rng.shuffle(named)
    return [(synset, name) for synset, name, _ in sorted(named, key=lambda entry: -round(10 * entry[2]))]


def _in_proportion(queues: list[list[tuple[int, str]]], weights: list[int]) -> Iterator[tuple[int, str]]:
    """Takes from the queues in turn, so that each contributes its share at any time."""
    taken = [0] * len(queues)
    while any(queues):
        i = min((i for i in range(len(queues)) if queues[i]), key=lambda i: (taken[i] + 1) / weights[i])
        taken[i] += 1
        yield queues[i].pop(0)
