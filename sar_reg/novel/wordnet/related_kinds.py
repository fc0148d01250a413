"""What the base classes are kinds of, and how wide a kind must be for the names that are wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sar_reg.novel.wordnet.graph import NOUN, WordNet
from sar_reg.novel.wordnet.related_candidates import USUAL, Candidate
from sar_reg.novel.wordnet.related_matching import readings
from sar_reg.novel.wordnet.related_meaning import Understood

_WIDEST, _WIDEST_OF_MOST = 1000, 600
"""Meanings below a kind, at most: "bird" says something of a list, "physical entity" does not."""
_MOST = 3 / 4  # share of the classes that a kind must hold where none holds all
_LIKELY = 0.2  # weight, relative to the surest class, below which a name found in part is taken as misread


@dataclass(frozen=True)
class Circle:
    """A kind and all that is below it."""

    kind: int
    members: set[int]


def kinds_of_most(wordnet: WordNet, base: Sequence[Understood]) -> list[int]:
    """What all base classes are kinds of, or if that says nothing at least three quarters, the narrowest first.

    Classes that are likely misread, such as "egyptian" in "egyptian mau", have no say. For a kind of most those count
    too of which another sense is one, if half of the classes are.
    """
    own = {understood.reading.synset: understood.name for understood in _sure(base)}
    as_read = _count(wordnet, [{synset} for synset in own])
    as_can_be = _count(wordnet, [{synset} | _senses(wordnet, name) for synset, name in own.items()])

    def narrowest_first(kinds: Iterable[int], widest: int) -> list[int]:
        fit = [s for s in kinds if wordnet.kind[s] == NOUN and wordnet.sizes[s] <= widest and s not in own]
        return sorted(fit, key=lambda synset: (int(wordnet.sizes[synset]), synset))

    of_all = (kind for kind, count in as_read.items() if count == len(own))
    of_most = (k for k, n in as_read.items() if 2 * n >= len(own) and as_can_be[k] >= _MOST * len(own))
    return narrowest_first(of_all, _WIDEST) or narrowest_first(of_most, _WIDEST_OF_MOST)


def _count(wordnet: WordNet, classes: Sequence[set[int]]) -> Counter[int]:
    """For each meaning how many classes are kinds of it."""
    return Counter(above for senses in classes for above in {a for s in senses for a in wordnet.ancestors(s)})


def _senses(wordnet: WordNet, name: str) -> set[int]:
    """What the whole name can mean."""
    return {reading.synset for reading in readings(wordnet, name) if reading.whole}


def _sure(base: Sequence[Understood]) -> list[Understood]:
    """Those that are not likely misread: found whole, or in part and not standing apart from the list."""
    least = _LIKELY * max(understood.weight for understood in base)
    return [understood for understood in base if understood.reading.whole or understood.weight >= least]


def read_as_kin(wordnet: WordNet, base: Sequence[Understood], kinds: Sequence[int]) -> list[Understood]:
    """The base classes, those outside the widest kind read as something in it where their name allows it.

    A skirt is a covering of cloth in WordNet, and in its next sense a garment.
    """
    if not kinds:
        return list(base)
    kin = wordnet.below(kinds[-1])

    def settled(understood: Understood) -> Understood:
        if understood.reading.synset in kin:
            return understood
        inside = [r for r in readings(wordnet, understood.name) if r.whole and r.synset in kin]
        likeliest = max(inside, key=lambda reading: reading.prior, default=understood.reading)
        return replace(understood, reading=likeliest)

    return [settled(understood) for understood in base]


def circles_around(
    wordnet: WordNet, base: Sequence[Understood], kinds: Sequence[int], found: Sequence[Candidate], n: int
) -> list[Circle]:
    """The narrowest kind with as many candidates as names are wanted, or else the one with most.

    Before it comes what a narrower one shares with it, if that one holds half of the names wanted, not only rare ones.
    """
    enough = 2 * n // len(base)
    gathered = [(kind, _with_families(wordnet, wordnet.below(kind), base, enough)) for kind in kinds]
    circles = [Circle(kind, members) for kind, members in gathered if members]
    inside = [[candidate for candidate in found if candidate.synset in c.members] for c in circles]
    size = [len(row) for row in inside]
    common = [sum(candidate.rank == USUAL for candidate in row) for row in inside]
    if not any(size):
        return []
    wide = next((i for i, count in enumerate(size) if count >= n), size.index(max(size)))
    narrow = [
        Circle(circle.kind, circle.members & circles[wide].members)
        for i, circle in enumerate(circles[:wide])
        if 2 * size[i] >= n and 8 * common[i] >= n
    ]
    return [*narrow[:1], circles[wide]]


def _with_families(wordnet: WordNet, kin: set[int], base: Sequence[Understood], enough: int) -> set[int]:
    """The kin, and for each base class outside the narrowest kind of its own with enough meanings, if there is one.

    Nothing if what a base class is says nothing, like the tree that an oak is: names of the kin alone would forget it.
    """
    members = set(kin)
    for synset in {understood.reading.synset for understood in _sure(base)} - kin:
        families = [
            k for k in wordnet.ancestors(synset) if k != synset and wordnet.sizes[k] <= _WIDEST_OF_MOST
        ]
        if not families:
            return set()
        wide = [kind for kind in families if wordnet.sizes[kind] >= enough]
        if wide:
            members |= wordnet.below(min(wide, key=lambda kind: int(wordnet.sizes[kind])))
    return members
