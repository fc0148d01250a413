"""WordNet as this package uses it: nouns, adjectives, their words and relations."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

NOUN, ADJECTIVE = 0, 1
INSTANCE, UNFIT, OFFENSIVE = 1, 2, 4
PERSON = 18  # the number of the lexicographer file noun.person


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
        topic: number of the lexicographer file, such as 5 for animals, see lexnames(5WN).
        flags: `INSTANCE` for proper nouns (they have an instance hypernym), `UNFIT` if WordNet itself marks
            slang, a dated word or a trade name, `OFFENSIVE` if it marks a slur or an obscenity.
        senses: the words, the usual one first.
        parents: hypernyms; for a satellite adjective its head.
        links: see-also and attribute links between nouns and adjectives.
        mentions: for each lower-case word, how many definitions use it.
        elsewhere: for each lower-case word, how often the tagged texts use it as a verb or adverb.
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
        return _reachable(synset, self.parents)

    def below(self, synset: int) -> set[int]:
        """The synset and all that is below it."""
        return set(_reachable(synset, self.children))

    @cached_property
    def above(self) -> list[tuple[int, ...]]:
        """The synset itself and all its ancestors, nearest first."""
        return [tuple(self.ancestors(synset)) for synset in range(len(self))]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """(2, synsets): how many synsets are below each one, itself included; row 0 without proper nouns."""
        sizes = np.zeros((2, len(self)), dtype=np.int64)
        for synset, above in enumerate(self.above):
            rows = slice(1, 2) if self.flags[synset] & INSTANCE else slice(0, 2)
            sizes[rows, list(above)] += 1
        return sizes

    @cached_property
    def things(self) -> set[int]:
        """Everything that can be touched: what is below "physical entity"."""
        top = self.find("physical entity")
        return set() if top is None else self.below(top)

    def uses(self, word: str) -> dict[int, float]:
        """How the uses of a lower-case word fall on its meanings: tag counts, smoothed by the order of the senses."""
        senses = ((i, sense) for i in self.index[word] for sense in self.senses[i])
        return {i: sense.count + sense.rank**-0.5 for i, sense in senses if sense.word.lower() == word}

    def find(self, *words: str) -> int | None:
        """The most frequent noun synset that has all these words, if there is one."""
        shared = [s for s in self.index.get(words[0], []) if all(s in self.index.get(w, []) for w in words)]
        return next((s for s in shared if self.kind[s] == NOUN), None)


def _reachable(start: int, links: Sequence[Sequence[int]]) -> dict[int, int]:
    """What `links` lead to from `start`, nearest first, with the number of steps."""
    steps = {start: 0}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for there in links[here]:
            if there not in steps:
                steps[there] = steps[here] + 1
                waiting.append(there)
    return steps
