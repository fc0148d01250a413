"""What a list of class names means: for each name the reading that fits the whole list best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sar_reg.novel.wordnet.graph import WordNet
from sar_reg.novel.wordnet.related_matching import Reading, readings

_ROUNDS = 5
_SHARPNESS = 14.0


@dataclass(frozen=True)
class Understood:
    """A class name and its most fitting reading; `weight` in (0, 1] says how sure that is."""

    name: str
    reading: Reading
    weight: float


def understand(wordnet: WordNet, names: Sequence[str], domain: str | None = None) -> list[Understood]:
    """Read all names jointly, so that `crane` is a bird among birds and a machine among machines.

    Names of which WordNet knows no word are left out.
    """
    options = {name: found for name in names if (found := readings(wordnet, name, domain))}
    beliefs = {name: _normalised(np.log([r.prior for r in found])) for name, found in options.items()}
    fits = {name: np.ones(len(found)) for name, found in options.items()}
    for _ in range(_ROUNDS if len(options) > 1 else 0):
        tree = _Tree(wordnet, options, beliefs)
        fits = {name: tree.fits(name, found) for name, found in options.items()}
        beliefs = {
            name: _normalised(np.log([r.prior for r in found]) + _SHARPNESS * fits[name])
            for name, found in options.items()
        }
    best = {name: int(np.argmax(belief)) for name, belief in beliefs.items()}
    usual = float(np.median([fits[name][best[name]] for name in options])) if options else 1.0
    return [
        Understood(
            name,
            found[best[name]],
            _weight(beliefs[name][best[name]], fits[name][best[name]] / max(usual, 1e-6)),
        )
        for name, found in options.items()
    ]


def _weight(belief: float, fit: float) -> float:
    """Names that stand apart from the list count little: they are likely misread."""
    return float(belief * min(1.0, max(fit, 0.05)) ** 2)


def _normalised(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


class _Tree:
    """Where the beliefs about all names lie in WordNet's tree, and the mean of their meanings."""

    def __init__(
        self, wordnet: WordNet, options: dict[str, list[Reading]], beliefs: dict[str, NDArray[np.float64]]
    ) -> None:
        self._wordnet = wordnet
        self._n = max(len(options) - 1, 1)
        self._own = {name: self._spread(found, beliefs[name]) for name, found in options.items()}
        self._all: Counter[int] = Counter()
        for own in self._own.values():
            self._all.update(own)
        self._vector = {
            name: beliefs[name] @ np.array([wordnet.meaning(r.synset) for r in found])
            for name, found in options.items()
        }
        self._sum = np.sum(list(self._vector.values()), axis=0)

    def _spread(self, found: list[Reading], belief: NDArray[np.float64]) -> dict[int, float]:
        mass: dict[int, float] = {}
        for reading, weight in zip(found, belief.tolist(), strict=True):
            for ancestor in self._wordnet.ancestors(reading.synset):
                mass[ancestor] = min(1.0, mass.get(ancestor, 0.0) + weight)
        return mass

    def fits(self, name: str, found: list[Reading]) -> NDArray[np.float64]:
        """How well each reading of a name fits what is believed of the others, about 0 to 1."""
        return np.array([self.closeness(r.synset, name) + self.likeness(r.synset, name) for r in found]) / 2

    def closeness(self, synset: int, name: str) -> float:
        """Expected information shared with another name: ∫ of the share of names below a common ancestor."""
        own = self._own[name]
        rising = sorted(
            (self._wordnet.information(a), (self._all[a] - own.get(a, 0.0)) / self._n)
            for a in self._wordnet.ancestors(synset)
        )
        total, covered, last = 0.0, 0.0, 1.0
        for information, share in reversed(rising):
            total += covered * (last - information)
            covered, last = max(covered, share), information
        return total + covered * last

    def likeness(self, synset: int, name: str) -> float:
        """Cosine between the meaning of the synset and the mean meaning of the other names."""
        if not self._wordnet.meanings.shape[1]:
            return 0.0
        others = self._sum - self._vector[name]
        return float(self._wordnet.meaning(synset) @ others / max(float(np.linalg.norm(others)), 1e-6))
