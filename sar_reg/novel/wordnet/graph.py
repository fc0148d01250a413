"""WordNet as this package needs it: nouns and adjectives, their words, and how they hang together."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

NOUN, ADJECTIVE = 0, 1
INSTANCE, UNFIT, OFFENSIVE = 1, 2, 4


@dataclass(frozen=True)
class Sense:
    """One word of one synset.

    Attributes:
        word: the word or phrase as WordNet writes it, with spaces.
        count: how often WordNet's tagged texts use the word in this sense.
        rank: 1 if this is the word's most frequent sense, 2 for the next, and so on.
    """

    word: str
    count: int
    rank: int


@dataclass(frozen=True, eq=False)
class WordNet:
    """A WordNet database in memory; every list is indexed by synset.

    Attributes:
        version: such as "3.0".
        kind: `NOUN` or `ADJECTIVE`.
        topic: number of the lexicographer file, such as 5 for animals (see `TOPICS`).
        flags: `INSTANCE` for proper nouns (they have an instance hypernym), `UNFIT` where WordNet itself marks
            slang, a dated word or a trade name, `OFFENSIVE` where it marks a slur or an obscenity.
        senses: the words, the usual one first.
        parents: hypernyms; for a satellite adjective its head.
        links: see-also, attribute and derivation links between nouns and adjectives.
        mentions: for each lower-case word, how many definitions use it.
        elsewhere: for each lower-case word, how often the tagged texts use it as a verb or adverb, and 4
            for each proper noun it also is.
        meanings: (synsets, width) vectors of the definitions, zero rows where there is none; absent (0 wide)
            unless packaged.
        definitions: what each synset means; empty in the packaged form.
    """

    version: str
    kind: list[int]
    topic: list[int]
    flags: list[int]
    senses: list[tuple[Sense, ...]]
    parents: list[tuple[int, ...]]
    links: list[tuple[int, ...]]
    mentions: dict[str, int]
    elsewhere: dict[str, int]
    meanings: NDArray[np.float64]
    definitions: list[str] = field(default_factory=list[str])

    def __len__(self) -> int:
        return len(self.senses)

    @cached_property
    def index(self) -> dict[str, list[int]]:
        """For each lower-case word its synsets, most frequent sense first, nouns before adjectives."""
        found: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for synset, senses in enumerate(self.senses):
            for sense in senses:
                found[sense.word.lower()].append((self.kind[synset], sense.rank, synset))
        return {word: [synset for *_, synset in sorted(entries)] for word, entries in found.items()}

    @cached_property
    def children(self) -> list[list[int]]:
        """Hyponyms of each synset; for a head adjective its satellites."""
        children: list[list[int]] = [[] for _ in self.senses]
        for synset, parents in enumerate(self.parents):
            for parent in parents:
                children[parent].append(synset)
        return children

    def ancestors(self, synset: int) -> dict[int, int]:
        """The synset and all that is above it, with the number of steps to each."""
        steps = {synset: 0}
        front = [synset]
        while front:
            front = [
                p for s in front for p in self.parents[s] if steps.setdefault(p, steps[s] + 1) > steps[s]
            ]
            front = list(dict.fromkeys(front))
        return steps

    def below(self, synset: int) -> set[int]:
        """The synset and all that is below it."""
        found = {synset}
        front = [synset]
        while front:
            front = [c for s in front for c in self.children[s] if c not in found]
            found.update(front)
        return found

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many synsets stand below each one, itself included."""
        sizes = np.zeros(len(self), dtype=np.int64)
        for synset in range(len(self)):
            for ancestor in self.ancestors(synset):
                sizes[ancestor] += 1
        return sizes

    def information(self, synset: int) -> float:
        """How much is said by naming the synset: 0 for all there is, 1 for one without hyponyms."""
        return 1.0 - math.log(self.sizes[synset]) / math.log(len(self))

    def meaning(self, synset: int) -> NDArray[np.float64]:
        """The vector of the definition, or where there is none the mean of those of its co-hyponyms."""
        vector = self.meanings[synset]
        if vector.any() or not self.parents[synset]:
            return vector
        near = [c for parent in self.parents[synset] for c in (parent, *self.children[parent])]
        rows = self.meanings[near]
        return np.asarray(rows.sum(axis=0) / max(1, np.count_nonzero(rows.any(axis=1))), dtype=np.float64)

    def find(self, *words: str) -> int | None:
        """The most usual noun synset that has all these words, if there is one."""
        shared = [s for s in self.index.get(words[0], []) if all(s in self.index.get(w, []) for w in words)]
        return next((s for s in shared if self.kind[s] == NOUN), None)


TOPICS = [
    "adj.all",
    "adj.pert",
    "adv.all",
    "noun.Tops",
    "noun.act",
    "noun.animal",
    "noun.artifact",
    "noun.attribute",
    "noun.body",
    "noun.cognition",
    "noun.communication",
    "noun.event",
    "noun.feeling",
    "noun.food",
    "noun.group",
    "noun.location",
    "noun.motive",
    "noun.object",
    "noun.person",
    "noun.phenomenon",
    "noun.plant",
    "noun.possession",
    "noun.process",
    "noun.quantity",
    "noun.relation",
    "noun.shape",
    "noun.state",
    "noun.substance",
    "noun.time",
    "verb.body",
    "verb.change",
    "verb.cognition",
    "verb.communication",
    "verb.competition",
    "verb.consumption",
    "verb.contact",
    "verb.creation",
    "verb.emotion",
    "verb.motion",
    "verb.perception",
    "verb.possession",
    "verb.social",
    "verb.stative",
    "verb.weather",
    "adj.ppl",
]
"""Names of WordNet's lexicographer files, by number (lexnames(5WN))."""
