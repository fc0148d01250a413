"""WordNet in one small file: what `scripts/build_wordnet.py` writes and the package ships."""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import pairwise
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sar_reg.novel.wordnet.graph import INSTANCE, Sense, WordNet


def pack(wordnet: WordNet) -> bytes:
    """The content of an npz file that holds `wordnet` without proper nouns."""
    kept = [i for i in range(len(wordnet)) if not wordnet.flags[i] & INSTANCE]
    number = {old: new for new, old in enumerate(kept)}
    words = sorted({sense.word for i in kept for sense in wordnet.senses[i]})
    word_number = {word: i for i, word in enumerate(words)}
    senses = [sense for i in kept for sense in wordnet.senses[i]]
    columns: dict[str, Any] = {
        "version": np.frombuffer(wordnet.version.encode(), np.uint8),
        "words": np.frombuffer("\n".join(words).encode(), np.uint8),
        "mentions": np.array([min(wordnet.mentions.get(w.lower(), 0), 65535) for w in words], np.uint16),
        "elsewhere": np.array([min(wordnet.elsewhere.get(w.lower(), 0), 65535) for w in words], np.uint16),
        "kind": np.array([wordnet.kind[i] for i in kept], np.uint8),
        "topic": np.array([wordnet.topic[i] for i in kept], np.uint8),
        "flags": np.array([wordnet.flags[i] for i in kept], np.uint8),
        "n_senses": np.array([len(wordnet.senses[i]) for i in kept], np.uint8),
        "sense_word": np.array([word_number[s.word] for s in senses], np.int32),
        "sense_count": np.array([min(s.count, 65535) for s in senses], np.uint16),
        "sense_rank": np.array([s.rank for s in senses], np.uint8),
    }
    for name, lists in (("parents", wordnet.parents), ("links", wordnet.links)):
        targets = [[number[t] for t in lists[i] if t in number] for i in kept]
        columns[f"n_{name}"] = np.array([len(t) for t in targets], np.uint8)
        columns[name] = np.array([t for ts in targets for t in ts], np.int32)
    known = np.abs(wordnet.meanings[kept]).sum(axis=1) > 0
    columns["has_meaning"] = np.packbits(known)
    columns["meanings"] = np.rint(wordnet.meanings[kept][known] * 127).astype(np.int8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)
    return buffer.getvalue()


def unpack(stream: IO[bytes]) -> WordNet:
    """The WordNet that `pack` stored."""
    with np.load(stream, allow_pickle=False) as columns:
        words = columns["words"].tobytes().decode().split("\n")
        senses = [
            Sense(words[word], count, rank)
            for word, count, rank in zip(
                columns["sense_word"].tolist(),
                columns["sense_count"].tolist(),
                columns["sense_rank"].tolist(),
                strict=True,
            )
        ]
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
            meanings=_meanings(columns),
        )


def _by_word(words: list[str], counts: NDArray[np.uint16]) -> dict[str, int]:
    # spellings that differ in case only have the same count
    return {word.lower(): count for word, count in zip(words, counts.tolist(), strict=True) if count}


def _meanings(columns: Any) -> NDArray[np.float64]:
    known = np.unpackbits(columns["has_meaning"], count=len(columns["kind"])).astype(bool)
    meanings = np.zeros((len(known), columns["meanings"].shape[1]))
    rows = columns["meanings"].astype(np.float64)
    meanings[known] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return meanings


def _lists(columns: Any, name: str) -> list[tuple[int, ...]]:
    targets = columns[name].tolist()
    return [tuple(targets[a:b]) for a, b in _spans(columns[f"n_{name}"])]


def _spans(lengths: NDArray[np.uint8]) -> Iterable[tuple[int, int]]:
    return pairwise([0, *np.cumsum(lengths, dtype=np.int64).tolist()])
