"""Ranking WordNet's meanings by closeness to a list of class names, and spreading the choice over the list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sar_reg.novel.related_meaning import Understood
from sar_reg.novel.related_words import LEAST_GOOD, Words
from sar_reg.novel.wordnet_graph import WordNet

_CLIMB = 0.5
_WIDEST = 4000
_FAR = -1.0


class Candidates:
    """Meanings near the base classes, each with its best word and its closeness to the set."""

    def __init__(self, wordnet: WordNet, words: Words, base: Sequence[Understood]) -> None:
        self._wordnet = wordnet
        weights = np.array([b.weight for b in base])
        own = [b.reading.synset for b in base]
        mass = self._mass(base, weights)
        known = set(own) | {a for s in own for a in wordnet.ancestors(s)}
        largest = 2 * float(np.quantile([wordnet.sizes[s] for s in own], 0.8)) + 1
        capitals = any(s.word != s.word.lower() for b in own for s in wordnet.senses[b][:1])
        least = min(LEAST_GOOD, 0.7 * float(np.quantile([self._goodness(words, b) for b in base], 0.1)))
        topics = self._topics(own, weights)
        self.synsets: list[int] = []
        self.names: list[str] = []
        good: list[float] = []
        for synset in self._pool(mass, own):
            if synset in known or synset in words.left_out or wordnet.sizes[synset] > largest:
                continue
            if topics.get(wordnet.topic[synset], 0.0) < 0.04:
                continue
            best = words.best(synset, capitals=capitals)
            if best and best[1] > least:
                self.synsets.append(synset)
                self.names.append(best[0])
                good.append(best[1])
        tree = np.log10([mass.get(s, 0.0) + 1e-9 for s in self.synsets])
        tree = np.maximum(_FAR, 0.5 * np.minimum(tree - np.sort(tree)[-min(30, len(tree)) :][0], 0.0)) if len(tree) else tree
        self.vectors = np.array([wordnet.meaning(s) for s in self.synsets])
        base_vectors = np.array([wordnet.meaning(s) for s in own])
        likeness = self.vectors @ base_vectors.T * np.minimum(1.0, 3 * weights)
        near = np.sort(likeness, axis=1)[:, -3:].mean(axis=1)
        self.nearest = np.argmax(likeness, axis=1)
        self.tree, self.near, self.good = tree, near, np.array(good)
        topical = np.array([topics[wordnet.topic[s]] for s in self.synsets])
        self.scores = tree + 2.5 * near + 0.6 * self.good + 0.3 * np.sqrt(topical)
        among = np.sort(base_vectors @ base_vectors.T * (1 - np.eye(len(own))), axis=1)[:, -3:].mean(axis=1)
        self.scores[near < 0.65 * np.median(among)] -= 1.0
        self._usual = max(0.6, float(np.median(among)) + 0.1)

    def _goodness(self, words: Words, base: Understood) -> float:
        best = words.best(base.reading.synset, capitals=True)
        return best[1] if best else 0.0

    def _mass(self, base: Sequence[Understood], weights: NDArray[np.float64]) -> dict[int, float]:
        """Chance to reach a meaning: from a base class climb some steps, then take any meaning below."""
        at: defaultdict[int, float] = defaultdict(float)
        for understood, weight in zip(base, weights.tolist(), strict=True):
            ancestors = self._wordnet.ancestors(understood.reading.synset).items()
            model = understood.reading.maker is not None  # its kind is one step up already
            steps = {a: k for a, k in ancestors if (k or model) and self._wordnet.sizes[a] <= _WIDEST}
            total = sum(_CLIMB**k for k in steps.values())
            for ancestor, k in steps.items():
                at[ancestor] += weight * _CLIMB**k / total / weights.sum()
        mass: defaultdict[int, float] = defaultdict(float)
        for ancestor, share in at.items():
            for synset in self._wordnet.below(ancestor):
                mass[synset] += share / int(self._wordnet.sizes[ancestor])
        return mass

    def _pool(self, mass: dict[int, float], own: list[int]) -> list[int]:
        vectors = np.array([self._wordnet.meaning(s) for s in own])
        near = np.sort(self._wordnet.meanings @ vectors.T, axis=1)[:, -3:].mean(axis=1)
        by_meaning = np.argsort(-near)[:2000].tolist()
        return sorted({*mass, *by_meaning})

    def _topics(self, own: list[int], weights: NDArray[np.float64]) -> dict[int, float]:
        shares: defaultdict[int, float] = defaultdict(float)
        for synset, weight in zip(own, weights.tolist(), strict=True):
            shares[self._wordnet.topic[synset]] += weight / weights.sum()
        return shares

    def spread(self, seed: int, most: int = 1000) -> list[int]:
        """Positions of the candidates, best first; one that resembles those before it, or sits at a crowded base class, comes later."""
        rng = np.random.default_rng(seed)
        scores = self.scores + 0.02 * rng.gumbel(size=len(self.scores))
        crowd = np.zeros(int(self.nearest.max(initial=0)) + 1)
        similar = np.zeros(len(scores))
        left = np.ones(len(scores), dtype=bool)
        order: list[int] = []
        for _ in range(min(len(scores), most)):
            value = np.where(left, scores - 0.6 * similar - 0.1 * np.log1p(crowd[self.nearest]), -np.inf)
            pick = int(np.argmax(value))
            left[pick] = False
            order.append(pick)
            crowd[self.nearest[pick]] += 1
            similar = np.maximum(similar, np.clip(self.vectors @ self.vectors[pick] - self._usual, 0.0, None))
        return order
