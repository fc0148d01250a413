"""Choose the WordNet categories that describe a list of classes with the shortest description length (MDL).

A class costs log N if nothing is known about it (N: all of WordNet's meanings), and log S as one of the S
meanings of a kind, plus what an unusual reading of its name costs; naming a kind costs log N once. So two birds
among twenty tools are not worth a kind, and CIFAR-100 gets several.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sar_reg.novel.wordnet.graph import ADJECTIVE, INSTANCE, WordNet
from sar_reg.novel.wordnet.limits import COST, COVERED, MOST, NARROWEST, WIDEST, WIDEST_ABSTRACT
from sar_reg.novel.wordnet.lookup import Reading


@dataclass(frozen=True)
class Kind:
    """A WordNet meaning, and for the position of each class that is of it what the class means.

    `whole` holds those of which the whole name is known; `weight` is the share of the names that the kind gets.
    """

    synset: int
    classes: dict[int, int]
    whole: dict[int, int]
    weight: int


def choose_kinds(wordnet: WordNet, readings: Sequence[Sequence[Reading]]) -> list[Kind]:
    """The kinds that cover most of the classes, the one with the most classes first; empty if there are none."""
    kinds, scores, meant = _scores(wordnet, readings)
    chosen = _choose(scores, COST * math.log(len(wordnet)))
    covered = scores[chosen].max(axis=0, initial=0) > 0
    if covered.sum() < MOST * len(readings):
        return []
    best = np.array(chosen)[scores[chosen].argmax(axis=0)]
    found: list[Kind] = []
    for row in chosen:
        classes = {int(i): int(meant[row, i]) for i in np.flatnonzero(covered & (best == row))}
        found += [_kind(kinds[row], classes, readings, len(classes))] if classes else []
    found.sort(key=lambda kind: -kind.weight)
    return [kind for position, kind in enumerate(found) if position == 0 or kind.whole]


def kind_of_domain(wordnet: WordNet, readings: Sequence[Sequence[Reading]], domain: int) -> Kind:
    """The kind that the user names, with the classes that are of it."""
    inside = [[r for r in options if domain in wordnet.above[r.synset]] for options in readings]
    classes = {i: max(found, key=lambda r: r.share).synset for i, found in enumerate(inside) if found}
    return _kind(domain, classes, readings, 1)


def _kind(synset: int, classes: dict[int, int], readings: Sequence[Sequence[Reading]], weight: int) -> Kind:
    whole = {i: s for i, s in classes.items() if any(r.whole and r.synset == s for r in readings[i])}
    return Kind(synset, classes, whole, weight)


def adjective_kinds(wordnet: WordNet, readings: Sequence[Sequence[Reading]]) -> list[Kind]:
    """The clusters of similar adjectives that most classes share with others, or that WordNet links to theirs."""
    heads = [
        {wordnet.above[r.synset][-1]: r for r in options if r.whole and wordnet.kind[r.synset] == ADJECTIVE}
        for options in readings
    ]
    near = Counter(
        s for options in heads for s in {n for head in options for n in (head, *wordnet.links[head])}
    )
    found: dict[int, dict[int, int]] = {}
    for i, options in enumerate(heads):
        company = {head: max(near[n] for n in (head, *wordnet.links[head])) for head in options}
        if max(company.values(), default=0) > 1:
            head = max(options, key=lambda head: (company[head], options[head].share))
            found.setdefault(head, {})[i] = options[head].synset
    if sum(map(len, found.values())) < MOST * len(readings):
        return []
    # a cluster that several classes share is better evidence than many that contain one class each
    kinds = [Kind(head, classes, classes, len(classes) ** 2) for head, classes in found.items()]
    return sorted(kinds, key=lambda kind: -kind.weight)


def says_something(wordnet: WordNet, synset: int, proper: int = 0) -> bool:
    """Whether the kind is narrow enough; `proper` is 1 to count proper nouns too."""
    return wordnet.sizes[proper, synset] <= (WIDEST if synset in wordnet.things else WIDEST_ABSTRACT)


def _scores(
    wordnet: WordNet, readings: Sequence[Sequence[Reading]]
) -> tuple[list[int], NDArray[np.float32], NDArray[np.int32]]:
    """Kinds, what each saves for each class (kinds, classes), and what the class then means."""
    total = math.log(len(wordnet)) + COVERED
    saved: dict[int, dict[int, tuple[float, int]]] = {}
    for i, options in enumerate(readings):
        for reading in options:
            proper = int(bool(wordnet.flags[reading.synset] & INSTANCE))
            for kind in wordnet.above[reading.synset]:
                size = int(wordnet.sizes[proper, kind])
                if size < NARROWEST or not says_something(wordnet, kind, proper):
                    continue
                score = total - math.log(size) + math.log(max(reading.share, 1e-3))
                row = saved.setdefault(kind, {})
                if score > row.get(i, (0.0, 0))[0]:
                    row[i] = (score, reading.synset)
    kinds = [kind for kind, row in saved.items() if len(row) > 1 or len(readings) < 3]
    scores = np.zeros((len(kinds), len(readings)), np.float32)
    meant = np.zeros((len(kinds), len(readings)), np.int32)
    for position, kind in enumerate(kinds):
        for i, (score, synset) in saved[kind].items():
            scores[position, i], meant[position, i] = score, synset
    return kinds, scores, meant


def _choose(scores: NDArray[np.float32], cost: float) -> list[int]:
    """Rows that together save most, each worth its cost; the first is taken without that."""
    chosen: list[int] = []
    current = np.zeros(scores.shape[1], np.float32)
    while len(scores):
        gains = np.maximum(scores, current).sum(axis=1) - current.sum() - cost
        row = int(gains.argmax())
        if chosen and gains[row] <= 0:
            break
        chosen.append(row)
        current = np.maximum(current, scores[row])
        for old in list(chosen):
            rest = [r for r in chosen if r != old]
            if rest and current.sum() - scores[rest].max(axis=0).sum() < cost:
                chosen = rest
                current = scores[rest].max(axis=0)
    return chosen
