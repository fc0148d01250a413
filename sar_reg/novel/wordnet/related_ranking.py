"""Ranking candidates by closeness to a list of class names, and spreading the choice over the list."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sar_reg.novel.wordnet.graph import NOUN, WordNet
from sar_reg.novel.wordnet.related_candidates import Candidate
from sar_reg.novel.wordnet.related_meaning import Understood

_FAR = -1.0  # closeness in the tree of what no walk reaches; each factor of ten in chance counts 0.5
_AT_LEAST = 0.55  # closeness that a candidate needs, relative to that among the base classes
_DISTANT = 0.8  # closeness by definition below which a word of the same kind stands with the rare ones
_JITTER = 0.02
_CLEAR_NOUN = 0.2  # how good a word a noun needs to stand among adjectives


class Ranking:
    """Candidates with a score each: near in the tree, near by definition, common word, usual topic.

    Attributes:
        distant: meanings that are by definition far from the base classes.
    """

    def __init__(
        self,
        wordnet: WordNet,
        base: Sequence[Understood],
        found: Sequence[Candidate],
        usual_words: Sequence[float],
    ) -> None:
        self._wordnet, self._found = wordnet, found
        width = wordnet.meanings.shape[1]
        few = max(3, min(8, len(base) // 4))
        self._own = [b.reading.synset for b in base]
        base_vectors = np.array([wordnet.meaning(s) for s in self._own])
        self._vectors = np.array([wordnet.meaning(c.synset) for c in found]).reshape(len(found), width)
        likeness = self._vectors @ base_vectors.T * np.minimum(1.0, 3 * np.array([b.weight for b in base]))
        self._likeness, self._nearest = likeness, np.argmax(likeness, axis=1)
        near = np.sort(likeness, axis=1)[:, -few:].mean(axis=1)
        among = base_vectors @ base_vectors.T * (1 - np.eye(len(base)))
        usual = float(np.median(np.sort(among, axis=1)[:, -few:].mean(axis=1)))
        self.distant = {c.synset for c, close in zip(found, near, strict=True) if close < _DISTANT * usual}
        self._alike = max(0.6, usual + 0.1)
        tree = _closeness(np.array([c.mass for c in found]))
        rarity = float(np.clip(np.median(usual_words) / 0.3, 0.3, 1.0))
        self._scores = tree + 2.5 * near
        self._scores += [0.8 * rarity * c.good + c.topical**0.5 for c in found]
        lacking = _AT_LEAST * usual - (near + 0.3 * tree)
        self._scores -= np.where(lacking > 0, 0.5 + 3 * lacking, 0.0)
        self._scores -= self._out_of_style(wordnet, base, tree, near < usual)

    def _out_of_style(
        self,
        wordnet: WordNet,
        base: Sequence[Understood],
        tree: NDArray[np.float64],
        distant: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Costs of an unusual hyphen, of adjectives or their neighbours from afar, of nouns among adjectives."""
        noun = np.array([wordnet.kind[c.synset] == NOUN for c in self._found])
        adjectives = np.mean([wordnet.kind[b.reading.synset] != NOUN for b in base]) > 0.5
        rare = np.array([c.good < _CLEAR_NOUN for c in self._found])
        hyphen = np.array(["-" in c.name for c in self._found]) & (not any("-" in b.name for b in base))
        return (
            0.4 * ((adjectives | ~noun) & (tree <= _FAR))
            + 0.5 * hyphen
            + 1.0 * (noun & (distant | rare) & adjectives)
        )

    def spread(self, seed: int, most: int) -> list[Candidate]:
        """The best first; what resembles an earlier one, or sits at a crowded base class, comes later."""
        scores = self._scores + _JITTER * np.random.default_rng(seed).gumbel(size=len(self._scores))
        crowd = np.zeros(int(self._nearest.max(initial=0)) + 1)
        similar = np.zeros(len(scores))
        left = np.ones(len(scores), dtype=bool)
        order: list[Candidate] = []
        for _ in range(min(len(scores), most)):
            value = np.where(left, scores - 0.6 * similar - 0.1 * np.log1p(crowd[self._nearest]), -np.inf)
            pick = int(np.argmax(value))
            left[pick] = False
            order.append(self._found[pick])
            crowd[self._nearest[pick]] += 1
            similar = np.maximum(
                similar, np.clip(self._vectors @ self._vectors[pick] - self._alike, 0.0, None)
            )
        return order

    def serve_all(self, order: Sequence[Candidate]) -> list[Candidate]:
        """The order, but with at least half its share for each base class: one cat among dogs gives cats.

        A candidate belongs to the base class with which it shares the most special kind, or of several the one that
        is nearest by definition.
        """
        belongs = self._belongs_to
        waiting: defaultdict[int, deque[Candidate]] = defaultdict(deque)
        for candidate in order:
            waiting[belongs[candidate.synset]].append(candidate)
        served = Counter[int]()
        taken: dict[int, Candidate] = {}
        for candidate in order:
            while candidate.synset not in taken:
                due = len(taken) // (2 * len(self._own))
                base = next((b for b, left in waiting.items() if left and served[b] < due), None)
                chosen = waiting[belongs[candidate.synset] if base is None else base].popleft()
                taken[chosen.synset] = chosen
                served[belongs[chosen.synset]] += 1
        return list(taken.values())

    @cached_property
    def _belongs_to(self) -> dict[int, int]:
        """For each candidate's meaning the number of its base class."""
        above = [set(self._wordnet.ancestors(synset)) for synset in self._own]

        def closest(synset: int, likeness: NDArray[np.float64]) -> int:
            kinds = set(self._wordnet.ancestors(synset))
            sizes = [
                min((int(self._wordnet.sizes[k]) for k in kinds & base), default=len(self._wordnet))
                for base in above
            ]
            return max(range(len(above)), key=lambda base: (-sizes[base], float(likeness[base])))

        return {c.synset: closest(c.synset, row) for c, row in zip(self._found, self._likeness, strict=True)}


def _closeness(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 for the thirty likeliest ends of the walk, falling with the logarithm of the chance to `_FAR`."""
    if not len(mass):
        return mass
    tree = np.log10(mass + 1e-9)
    return np.maximum(_FAR, 0.5 * np.minimum(tree - np.sort(tree)[-min(30, len(tree))], 0.0))
