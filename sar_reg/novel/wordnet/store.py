"""WordNet in one small file: what `scripts/build_wordnet.py` writes and the package ships."""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import pairwise
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sar_reg.novel.wordnet.graph import Sense, WordNet


def pack(wordnet: WordNet) -> bytes:
    """The content of an npz file that holds `wordnet`."""
    words = sorted({sense.word for senses in wordnet.senses for sense in senses})
    word_number = {word: i for i, word in enumerate(words)}
    senses = [sense for senses in wordnet.senses for sense in senses]
    columns: dict[str, Any] = {
        "version": np.frombuffer(wordnet.version.encode(), np.uint8),
        "words": np.frombuffer("\n".join(words).encode(), np.uint8),
        "mentions": np.array([min(wordnet.mentions.get(w.lower(), 0), 65535) for w in words], np.uint16),
        "elsewhere": np.array([min(wordnet.elsewhere.get(w.lower(), 0), 65535) for w in words], np.uint16),
        "kind": np.array(wordnet.kind, np.uint8),
        "topic": np.array(wordnet.topic, np.uint8),
        "flags": np.array(wordnet.flags, np.uint8),
        "n_senses": np.array([len(senses) for senses in wordnet.senses], np.uint8),
        "sense_word": np.array([word_number[s.word] for s in senses], np.int32),
        "sense_count": np.array([min(s.count, 65535) for s in senses], np.uint16),
        "sense_rank": np.array([s.rank for s in senses], np.uint8),
    }
    for name, lists in (("parents", wordnet.parents), ("links", wordnet.links)):
        columns[f"n_{name}"] = np.array([len(targets) for targets in lists], np.uint8)
        columns[name] = np.array([target for targets in lists for target in targets], np.int32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)
    return buffer.getvalue()


def unpack(stream: IO[bytes]) -> WordNet:
    """The WordNet that `pack` stored."""
    with np.load(stream, allow_pickle=False) as columns:
        words = columns["words"].tobytes().decode().split("\n")
        numbers = (columns[f"sense_{name}"].tolist() for name in ("word", "count", "rank"))
        senses = [Sense(words[word], count, rank) for word, count, rank in zip(*numbers, strict=True)]
        return WordNet(
            version=columns["version"].tobytes().decode(),
            kind=columns["kind"].tolist(),
            topic=columns["topic"].tolist(),
            flags=columns["flags"].tolist(),
            senses=[tuple(senses[a:b]) for a, b in _spans(columns["n_senses"])],
            parents=_lists(columns, "parents"),
            links=_lists(columns, "links"),
            mentions=_by_word(words, columns["mentions"]),
            elsewhere=_by_word(words, columns["elsewhere"]),
        )


def _by_word(words: list[str], counts: NDArray[np.uint16]) -> dict[str, int]:
    # spellings that differ in case only have the same count
    return {word.lower(): count for word, count in zip(words, counts.tolist(), strict=True) if count}


def _lists(columns: Any, name: str) -> list[tuple[int, ...]]:
    targets = columns[name].tolist()
    return [tuple(targets[a:b]) for a, b in _spans(columns[f"n_{name}"])]


def _spans(lengths: NDArray[np.uint8]) -> Iterable[tuple[int, int]]:
    return pairwise([0, *np.cumsum(lengths, dtype=np.int64).tolist()])
