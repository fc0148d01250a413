"""Which word names a WordNet meaning well: common, unambiguous, no proper noun, nothing offensive."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources

from sar_reg.novel.wordnet.graph import OFFENSIVE, TOPICS, Sense, WordNet

LEAST_GOOD = 0.1
_CLEAR = 0.7  # share of its uses from which a word needs no longer name
_NEAR = 0.55  # cosine of two meanings of a word that say about the same of what is meant
_LITTLE = {"of", "in", "the", "and", "or", "a", "on", "s"}
_COARSE = {"noun.body", "noun.act", "noun.person", "noun.process", "noun.communication"}
_BREEDS_AND_SPECIES = {"noun.animal", "noun.plant", "noun.food", "noun.artifact"}


@dataclass(frozen=True)
class LeftOut:
    """What is never proposed, from `data/left_out.json` and `data/set_aside.json`.

    `digest` changes whenever the data files do that decide which words are proposed.
    """

    branches: tuple[tuple[str, ...], ...]
    unless_listed: tuple[tuple[str, ...], ...]
    never: frozenset[str]
    says_nothing: frozenset[str]
    set_aside: frozenset[str]
    grim: frozenset[str]
    set_aside_branches: tuple[tuple[str, ...], ...]
    digest: str

    def passes(self, name: str) -> bool:
        """Whether a name that was ranked or drawn may be kept."""
        padded = f" {name.lower()} "
        return name.lower() not in self.set_aside and not any(f" {part} " in padded for part in self.grim)


@lru_cache(maxsize=1)
def left_out() -> LeftOut:
    """The packaged list of branches and words that make no class names."""
    folder = resources.files("sar_reg.novel").joinpath("data")
    texts = [folder.joinpath(f"{name}.json").read_bytes() for name in ("left_out", "set_aside", "surfaces")]
    listed, after = json.loads(texts[0]), json.loads(texts[1])
    return LeftOut(
        tuple(tuple(words) for words in listed["branches"]),
        tuple(tuple(words) for words in listed["unless_listed"]),
        frozenset(listed["never"]),
        frozenset(listed["says_nothing"]),
        frozenset(after["whole"]),
        frozenset(after["parts"]),
        tuple(tuple(words) for words in after["branches"]),
        hashlib.sha256(b"".join(texts)).hexdigest()[:12],
    )


@lru_cache(maxsize=1)
def common_words() -> dict[str, int]:
    """Whole words of CLIP's vocabulary with their rank, the most frequent first."""
    packed = resources.files("sar_reg.novel").joinpath("data/common_words.txt.gz").read_bytes()
    return {word: rank for rank, word in enumerate(gzip.decompress(packed).decode().split())}


class Words:
    """The words of a WordNet that may serve as class names, and how good each is."""

    def __init__(self, wordnet: WordNet) -> None:
        self._wordnet = wordnet
        self._common = common_words()
        self._lists = left_out()

    @cached_property
    def left_out(self) -> set[int]:
        """Synsets that are not proposed for a list of other things."""
        return self._never.union(*self._unless_listed)

    def apart_from(self, own: Sequence[int], classes: int) -> set[int]:
        """What is not proposed for a list in which `own` are the meanings that are known of so many classes.

        Diseases are, where at least half of the classes are diseases.
        """
        apart = [branch for branch in self._unless_listed if 2 * sum(s in branch for s in own) < classes]
        return self._never.union(*apart)

    @cached_property
    def _never(self) -> set[int]:
        marked = {i for i, flags in enumerate(self._wordnet.flags) if flags}
        return marked.union(*self._below(self._lists.branches))

    @cached_property
    def set_aside(self) -> set[int]:
        """Synsets to drop after ranking or drawing.

        Among those of body and persons also the ones with a word that is never proposed: their others are no better.
        """
        coarse = {synset for word in self._lists.never for synset in self._wordnet.index.get(word, [])}
        coarse = {synset for synset in coarse if TOPICS[self._wordnet.topic[synset]] in _COARSE}
        return coarse.union(*self._below(self._lists.set_aside_branches))

    @cached_property
    def _unless_listed(self) -> list[set[int]]:
        return self._below(self._lists.unless_listed)

    def _below(self, branches: Sequence[Sequence[str]]) -> list[set[int]]:
        known = [[name for name in names if name in self._wordnet.index] for names in branches]
        heads = [self._wordnet.find(*names) for names in known if names]
        return [self._wordnet.below(head) for head in heads if head is not None]

    @cached_property
    def banned(self) -> set[str]:
        """Words with an offensive meaning, whatever else they mean."""
        offensive = [i for i, flags in enumerate(self._wordnet.flags) if flags & OFFENSIVE]
        return {
            sense.word.lower() for i in offensive for sense in self._wordnet.senses[i]
        } | self._lists.never

    def commonness(self, word: str) -> float:
        """0 for words nobody uses to 1 for the most frequent; a phrase counts as its rarest word.

        From three sources: the order in which CLIP's vocabulary learned whole words, WordNet's tag counts,
        and how many of its definitions use the phrase.
        """
        parts = [part for part in re.findall("[a-z]+", word.lower()) if part not in _LITTLE]
        ranks = [self._common.get(part) for part in parts]
        spread = math.log(len(self._common) / 200)
        by_rank = [
            0.0 if r is None else 1.0 - max(0.0, math.log((r + 1) / 200)) / spread * 0.8 for r in ranks
        ]
        mentioned = min(1.0, math.log1p(self._wordnet.mentions.get(word.lower(), 0)) / math.log(50))
        vocabulary = min(by_rank, default=0.0)
        if len(parts) > 1:
            return 0.35 * vocabulary + 0.65 * mentioned
        return max(vocabulary, 0.6 * mentioned)

    def plainness(self, synset: int, sense: Sense) -> float:
        """The share of the word's uses that have this meaning."""
        counts = {
            i: s.count + 1.0 / s.rank
            for i in self._wordnet.index[sense.word.lower()]
            for s in self._wordnet.senses[i]
            if s.word.lower() == sense.word.lower()
        }
        return counts[synset] / (
            sum(counts.values()) + 0.5 * self._wordnet.elsewhere.get(sense.word.lower(), 0)
        )

    def clearness(self, synset: int, word: str) -> float:
        """The share of the word's uses that mean the synset or something near, as the apricot is to its tree."""
        own = self._wordnet.meaning(synset)
        near = [
            i
            for i in self._wordnet.index[word.lower()]
            if self._wordnet.kind[i] == self._wordnet.kind[synset]
            and (i == synset or float(own @ self._wordnet.meaning(i)) > _NEAR)
        ]
        return sum(
            self.plainness(i, sense)
            for i in near
            for sense in self._wordnet.senses[i]
            if sense.word.lower() == word.lower()
        )

    def spelled_out(self, synset: int, word: str) -> str:
        """For an ambiguous word a longer and clearer one that holds it, such as "mew gull" for "mew"; else the word."""
        clear = self.clearness(synset, word)
        if clear >= _CLEAR:
            return word
        longer = [sense.word for sense in self._wordnet.senses[synset] if len(sense.word) > len(word) + 2]
        longer = [w for w in longer if w.startswith(word) or word in w.split()]
        fit = (
            w for w in longer if self.allowed(synset, w, capitals=False) and self.clearness(synset, w) > clear
        )
        return next(fit, word)

    def allowed(self, synset: int, word: str, *, capitals: bool) -> bool:
        """Whether the word may be proposed for the synset at all."""
        parts = set(re.findall("[a-z]+", word.lower()))
        if (
            word.lower() in self.banned
            or parts & self._lists.never
            or word.lower() in self._lists.says_nothing
        ):
            return False
        if not re.fullmatch(r"(?!the )[A-Za-z][A-Za-z' -]{2,}", word) or len(word.split()) > 3:
            return False
        if word == word.lower():
            return True
        topic = TOPICS[self._wordnet.topic[synset]]
        return capitals and topic in _BREEDS_AND_SPECIES and not word.isupper()

    def best(self, synset: int, *, capitals: bool) -> tuple[str, float] | None:
        """The best word for a synset and how good it is, in [0, 1]; None if it has none."""
        choices: list[tuple[float, str]] = []
        for position, sense in enumerate(self._wordnet.senses[synset]):
            if self.allowed(synset, sense.word, capitals=capitals):
                good = self.commonness(sense.word) * self.plainness(synset, sense) ** 0.5
                choices.append((good - 0.05 * min(position, 3), sense.word))
        if not choices:
            return None
        good, word = max(choices)
        return word, good
