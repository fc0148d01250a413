"""Which word names a WordNet meaning: a common word that mostly has this meaning and is not offensive."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any

from sar_reg.novel.same_name import singular_forms
from sar_reg.novel.wordnet.graph import INSTANCE, OFFENSIVE, PERSON, Sense, WordNet
from sar_reg.novel.wordnet.limits import COMMON_PERSON, MOSTLY

_LITTLE = {"of", "in", "the", "and", "or", "a", "on", "s", "de"}


def _data(name: str) -> bytes:
    return resources.files("sar_reg.novel").joinpath(f"data/{name}").read_bytes()


@lru_cache(maxsize=1)
def blocklist() -> dict[str, Any]:
    """What is never proposed: `branches`, those `not_at_random`, `words`; and a `digest` of it all."""
    own, public = _data("blocklist.json"), _data("profanity.txt")
    listed = json.loads(own)
    words = frozenset([*listed["words"], *public.decode().splitlines()])
    return {**listed, "words": words, "digest": hashlib.sha256(own + public).hexdigest()[:12]}


@lru_cache(maxsize=1)
def common_words() -> dict[str, int]:
    """Whole words of CLIP's vocabulary with their rank, the most frequent first."""
    listed = gzip.decompress(_data("common_words.txt.gz")).decode().split()
    return {word: rank for rank, word in enumerate(listed)}


class ClassWords:
    """The words of a WordNet that may serve as class names, and how good each is."""

    def __init__(self, wordnet: WordNet) -> None:
        self._wordnet = wordnet
        self._best: dict[int, tuple[str, float] | None] = {}

    @cached_property
    def blocked(self) -> set[int]:
        """Meanings that are never proposed."""
        marked = {i for i, flags in enumerate(self._wordnet.flags) if flags & ~INSTANCE}
        return marked | self._below(blocklist()["branches"])

    @cached_property
    def not_at_random(self) -> set[int]:
        """Meanings that are proposed only to lists of their kind, such as diseases."""
        return self._below(blocklist()["not_at_random"])

    @cached_property
    def _banned(self) -> frozenset[str]:
        """The blocklist, and every word that has an offensive meaning among others."""
        offensive = [i for i, flags in enumerate(self._wordnet.flags) if flags & OFFENSIVE]
        return blocklist()["words"].union(s.word.lower() for i in offensive for s in self._wordnet.senses[i])

    def _below(self, branches: Sequence[Sequence[str]]) -> set[int]:
        known = [[word for word in words if word in self._wordnet.index] for words in branches]
        heads = [self._wordnet.find(*words) for words in known if words]
        return set[int]().union(*(self._wordnet.below(head) for head in heads if head is not None))

    def odious(self, word: str) -> bool:
        """Whether the blocklist holds the word, its singular, or a word or two adjacent ones of the phrase."""
        parts = re.findall(r"[^\W_]+", word.lower())
        phrases = {" ".join(parts[i : i + n]) for n in (1, 2, 3) for i in range(len(parts) - n + 1)}
        phrases.add(word.lower())
        return any(p in self._banned or not self._banned.isdisjoint(singular_forms(p)) for p in phrases)

    def commonness(self, word: str) -> float:
        """0 for the rarest words to 1 for the most frequent; a phrase counts as its rarest word.

        By the order in which CLIP's vocabulary learned whole words, and by how many of WordNet's definitions use
        the phrase.
        """
        parts = [part for part in re.findall("[a-z]+", word.lower()) if part not in _LITTLE]
        ranks = [common_words().get(part) for part in parts]
        spread = math.log(len(common_words()) / 200) / 0.8
        by_rank = [0.0 if r is None else 1.0 - max(0.0, math.log((r + 1) / 200)) / spread for r in ranks]
        mentioned = min(1.0, math.log1p(self._wordnet.mentions.get(word.lower(), 0)) / math.log(50))
        weight = 0.5 if len(parts) == 1 else 0.35
        return weight * min(by_rank, default=0.0) + (1 - weight) * mentioned

    def plainness(self, synset: int, sense: Sense) -> float:
        """The share of the word's uses that have this meaning."""
        word = sense.word.lower()
        weights = self._wordnet.uses(word)
        return weights[synset] / (sum(weights.values()) + 0.5 * self._wordnet.elsewhere.get(word, 0))

    def naming(self, synsets: set[int]) -> list[str]:
        """The words that mostly mean one of these."""
        senses = ((synset, sense) for synset in synsets for sense in self._wordnet.senses[synset])
        return sorted({s.word for synset, s in senses if self.plainness(synset, s) >= MOSTLY})

    def best(self, synset: int) -> tuple[str, float] | None:
        """The best word for a meaning and how good it is, in [0, 1]; None if it has none."""
        if synset not in self._best:
            least = COMMON_PERSON if self._wordnet.topic[synset] == PERSON else 0.0
            choices: list[tuple[float, str]] = []
            for position, sense in enumerate(self._wordnet.senses[synset]):
                common, plainness = self.commonness(sense.word), self.plainness(synset, sense)
                if plainness >= MOSTLY and common >= least and self._well_formed(synset, sense.word):
                    choices.append((common * plainness**0.5 - 0.05 * min(position, 3), sense.word))
            good, word = max(choices, default=(0.0, ""))
            self._best[synset] = (word, good) if word else None
        return self._best[synset]

    def _well_formed(self, synset: int, word: str) -> bool:
        """Not odious, no abbreviation, at most three words, no scientific name ("Canis familiaris")."""
        if not re.fullmatch(r"(?!the |genus |family )[^\W\d_]{3,}(?:(?:['-]| |'s )[^\W\d_]+)*", word):
            return False
        if word.endswith("'s") or len(word.split()) > 3 or word.isupper() or self.odious(word):
            return False
        if self._wordnet.flags[synset] & INSTANCE or word == word.lower():
            return True
        return all(part in common_words() for part in word.split()[1:] if part == part.lower())


@lru_cache(maxsize=4)
def words_of(wordnet: WordNet) -> ClassWords:
    """The words of a WordNet, kept: judging all of them takes seconds."""
    return ClassWords(wordnet)
