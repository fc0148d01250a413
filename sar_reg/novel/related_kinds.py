"""What all base classes are kinds of, and how wide a kind must be for the names that are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sar_reg.novel.related_candidates import Candidate
from sar_reg.novel.wordnet_graph import NOUN, WordNet

_WIDEST = 1000
"""Meanings below a kind, at most: "bird" says something of a list, "physical entity" does not."""


@dataclass(frozen=True)
class Circle:
    """A kind and all that is below it."""

    kind: int
    members: set[int]


def kinds_of_all(wordnet: WordNet, own: Sequence[int]) -> list[int]:
    """What all these meanings are kinds of, the narrowest first, as far as that says something."""
    above = set.intersection(*(set(wordnet.ancestors(synset)) for synset in own)) - set(own)
    kinds = [s for s in above if wordnet.kind[s] == NOUN and wordnet.sizes[s] <= _WIDEST]
    return sorted(kinds, key=lambda synset: (int(wordnet.sizes[synset]), synset))


def circles_around(
    wordnet: WordNet, kinds: Sequence[int], found: Sequence[Candidate], n: int
) -> list[Circle]:
    """The narrowest kind with as many candidates as names are wanted, or else the one with most.

    Before it comes a narrower one that holds half of the names wanted, and not only rare ones, if there is one.
    """
    circles = [Circle(kind, wordnet.below(kind)) for kind in kinds]
    inside = [[candidate for candidate in found if candidate.synset in c.members] for c in circles]
    size = [len(row) for row in inside]
    common = [sum(candidate.rank == 0 for candidate in row) for row in inside]
    if not any(size):
        return []
    wide = next((i for i, count in enumerate(size) if count >= n), size.index(max(size)))
    narrow = [
        circle
        for i, circle in enumerate(circles)
        if circle.members < circles[wide].members and 2 * size[i] >= n and 8 * common[i] >= n
    ]
    return [*narrow[:1], circles[wide]]
