"""The packaged WordNet, a file of `scripts/build_wordnet.py`, or another one; read once per process."""

from __future__ import annotations

import gzip
import json
import os
import threading
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

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
        return unpack(resources.files("sar_reg.novel").joinpath("data/wordnet.json.gz").read_bytes())
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


def unpack(packed: bytes) -> WordNet:
    """The WordNet in a file that `pack` of `scripts/build_wordnet.py` made."""
    fields: dict[str, Any] = json.loads(gzip.decompress(packed))
    fields["senses"] = [tuple(Sense(*sense) for sense in senses) for senses in fields["senses"]]
    fields |= {name: [tuple(targets) for targets in fields[name]] for name in ("parents", "links")}
    return WordNet(**fields)
