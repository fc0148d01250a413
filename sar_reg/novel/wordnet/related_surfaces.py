"""Lists of textures and patterns: which adjectives and nouns say what a surface looks or feels like.

WordNet has no tree over adjectives, only small families around a head, and these lie side by side: from "fibrous" one
step leads to "tough" and from there to "chewy". `data/surfaces.json` tells which families belong together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

from sar_reg.novel.wordnet.graph import ADJECTIVE, NOUN, WordNet
from sar_reg.novel.wordnet.related_meaning import Understood

_SHARE = 0.5


@lru_cache(maxsize=1)
def _listed() -> dict[str, list[list[str]]]:
    text = resources.files("sar_reg.novel").joinpath("data/surfaces.json").read_text(encoding="utf-8")
    return {key: value for key, value in json.loads(text).items() if key != "about"}


def surfaces(wordnet: WordNet, base: Sequence[Understood]) -> set[int] | None:
    """All meanings about surfaces if the base classes are mostly adjectives of that kind, else None."""
    listed = _listed()
    adjectives = _below(wordnet, listed["adjectives"], ADJECTIVE)
    own = [understood.reading.synset for understood in base]
    if sum(synset in adjectives for synset in own) < _SHARE * len(own):
        return None
    return (adjectives | _below(wordnet, listed["nouns"], NOUN)) - _below(wordnet, listed["never"])


def _below(wordnet: WordNet, branches: Sequence[Sequence[str]], kind: int | None = None) -> set[int]:
    """The meanings that have all words of a branch, of one kind or of either, and what stands below."""
    found: set[int] = set()
    for words in branches:
        shared = set.intersection(*(set(wordnet.index.get(word, [])) for word in words))
        for synset in shared:
            if kind in (None, wordnet.kind[synset]) and synset not in found:
                found |= wordnet.below(synset)
    return found
