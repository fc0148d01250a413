"""The packaged WordNet, a file of `scripts/build_wordnet.py`, or another one; read once per process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sar_reg.errors import InputError, require
from sar_reg.files import file_path
from sar_reg.novel.wordnet.graph import Sense, WordNet
from sar_reg.novel.wordnet.wndb import read_wndb

_lock = threading.Lock()
_loaded: dict[str | None, WordNet] = {}


def load_wordnet(root: str | os.PathLike[str] | None = None) -> WordNet:
    """The packaged WordNet, or one from a folder; read once per process, also with several threads.

    Args:
        root: None for the packaged WordNet 3.0; a folder with WNDB files (`data.noun`, `data.adj`,
            `index.sense`), such as `nltk_data/corpora/wordnet`; or "nltk" for the corpus that nltk finds.

    Raises:
        InputError: if the folder does not hold a WordNet database, or nltk has no such corpus.
        MissingExtraError: if `root` is "nltk" and nltk is not installed.
    """
    key = None if root is None else str(file_path(root))
    with _lock:
        if key not in _loaded:
            wordnet = _read(key)
            _ = wordnet.index, wordnet.sizes, wordnet.children, wordnet.things
            _loaded[key] = wordnet
        return _loaded[key]


def _read(root: str | None) -> WordNet:
    if root is None:
        with resources.files("sar_reg.novel").joinpath("data/wordnet.npz").open("rb") as stream:
            return unpack(stream)
    if root != "nltk":
        return read_wndb(lambda name: (Path(root) / name).open("rb"))
    folder = _nltk_corpus()
    return read_wndb(lambda name: folder.join(name).open())


def _nltk_corpus() -> Any:
    """Where nltk has its WordNet corpus, as a folder or still packed."""
    finder = require("nltk.data", extra="wordnet")
    for place in ("corpora/wordnet", "corpora/wordnet.zip/wordnet/"):
        with suppress(LookupError):
            return finder.find(place)
    raise InputError(
        'wordnet_root="nltk" was asked for, but nltk finds no WordNet corpus. Run '
        "`python -m nltk.downloader wordnet`, or leave wordnet_root= out to use the packaged WordNet"
    )


def unpack(stream: IO[bytes]) -> WordNet:
    """The WordNet in a file that `pack` of `scripts/build_wordnet.py` made."""
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
