"""Related names, and the share of them below a word of WordNet."""

from __future__ import annotations

from collections.abc import Sequence

from sar_reg.novel.wordnet.classes import WordNetClasses, load_wordnet


def related(names: Sequence[str], n: int = 40, **options: object) -> list[str]:
    return WordNetClasses().generate(names, n, **options)  # pyright: ignore[reportArgumentType]


def below(word: str) -> set[int]:
    wordnet = load_wordnet()
    return wordnet.below(wordnet.index[word][0])


def share_below(names: Sequence[str], word: str) -> float:
    kin, wordnet = below(word), load_wordnet()
    return sum(any(s in kin for s in wordnet.index[name.lower()]) for name in names) / len(names)
