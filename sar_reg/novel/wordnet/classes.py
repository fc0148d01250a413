"""Novel classes from WordNet: words related to the base classes, or random nouns. Needs no key and no network."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from sar_reg.errors import InputError, require
from sar_reg.novel.cleaning import Cleaned, Filtering, clean_names
from sar_reg.novel.source import NovelClassesError, NovelNames, outcome
from sar_reg.novel.wordnet.graph import NOUN, WordNet
from sar_reg.novel.wordnet.reading import read_wndb
from sar_reg.novel.wordnet.related import related_names
from sar_reg.novel.wordnet.related_format import NameFormat
from sar_reg.novel.wordnet.related_matching import readings
from sar_reg.novel.wordnet.related_words import Words, left_out
from sar_reg.novel.wordnet.store import unpack

Strategy = Literal["related", "random"]

log = logging.getLogger(__name__)

_MOSTLY = 0.9
_lock = threading.Lock()
_loaded: dict[str | None, WordNet] = {}


def load_wordnet(root: str | os.PathLike[str] | None = None) -> WordNet:
    """The packaged WordNet, or one from a folder; read once per process, whatever the number of threads.

    Args:
        root: None for the packaged WordNet 3.0; a folder with WNDB files (`data.noun`, `data.adj`,
            `index.sense`), such as `nltk_data/corpora/wordnet`; or "nltk" for the corpus that nltk finds.

    Raises:
        InputError: if the folder does not hold a WordNet database, or nltk has no such corpus.
        MissingExtraError: if `root` is "nltk" and nltk is not installed.
    """
    key = None if root is None else os.fspath(root)
    with _lock:
        if key not in _loaded:
            wordnet = _read(key)
            _ = wordnet.index, wordnet.sizes, wordnet.children
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
    try:
        return finder.find("corpora/wordnet")
    except LookupError:
        pass
    try:
        return finder.find("corpora/wordnet.zip/wordnet/")
    except LookupError as error:
        raise InputError(
            'wordnet_root="nltk" was asked for, but nltk finds no WordNet corpus. Run '
            "`python -m nltk.downloader wordnet`, or leave wordnet_root out to use the packaged WordNet"
        ) from error


class WordNetClasses:
    """Novel classes from WordNet, offline and the same each time for the same seed.

    `"related"` reads the base classes as WordNet meanings, all names jointly, and takes what lies near them in
    WordNet's tree and by its definitions: other breeds for breeds, other textures for textures. `"random"`
    draws common nouns whatever the base classes are, as in the paper's Figure 5.

    Both prefer common words and leave out proper nouns, slang, dated words, trade names and whatever WordNet
    marks as offensive, along with every word that has an offensive meaning besides.

    Args:
        strategy: `"related"` or `"random"`.
        wordnet_root: another WordNet than the packaged one, see `load_wordnet`; closeness by definitions is
            only packaged, so that names from another WordNet are chosen by the tree alone.
        domain: a noun for what all base classes are, such as `"aircraft"`; only needed where WordNet knows
            neither the names nor the makers in them.
        filtering: as in `clean_names`.
        allow_fewer: return what there is, with a warning in the log, where WordNet has no more.

    Raises:
        InputError: if `strategy` is neither.

    Examples:
        >>> names = WordNetClasses().generate(["beagle", "tabby cat", "pug"], 5)
        >>> len(set(names))
        5
    """

    def __init__(
        self,
        strategy: Strategy = "related",
        wordnet_root: str | os.PathLike[str] | None = None,
        *,
        domain: str | None = None,
        filtering: Filtering = "strict",
        allow_fewer: bool = False,
    ) -> None:
        if strategy not in ("related", "random"):
            raise InputError(f'strategy must be "related" or "random", not {strategy!r}')
        self.strategy: Strategy = strategy
        self.wordnet_root = wordnet_root
        self.domain = domain
        self.filtering: Filtering = filtering
        self.allow_fewer = allow_fewer

    def __repr__(self) -> str:
        root = "" if self.wordnet_root is None else f", wordnet_root={os.fspath(self.wordnet_root)!r}"
        domain = "" if self.domain is None else f", domain={self.domain!r}"
        return f"WordNetClasses({self.strategy!r}{root}{domain}, filtering={self.filtering!r})"

    def generate(
        self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str] = (), seed: int = 0
    ) -> NovelNames:
        """`n` names in the format of the base classes; for `"related"` those of the same kind first.

        Logs a warning where many of the names are of another kind.

        Raises:
            InputError: if `base_classes` is no list of names or `n` is negative; if WordNet knows none of the base
                classes, or not the domain (`"related"` only).
            NovelClassesError: if WordNet has fewer fitting names; it carries those.
        """
        _check(base_classes, n)
        wordnet = load_wordnet(self.wordnet_root)
        related = None
        if self.strategy == "related":
            wanted = n + len(exclude)
            related = related_names(wordnet, base_classes, wanted, seed=seed, domain=self.domain)
        raw = related.names if related else _random_nouns(wordnet, seed)
        raw = [name for name in raw if left_out().passes(name)]
        unwanted = [*exclude, *_synonyms(wordnet, exclude)]

        def clean(found: Sequence[str]) -> Cleaned:
            return clean_names(found, base=base_classes, exclude=unwanted, filtering=self.filtering)

        cleaned = clean(raw)
        names = [NameFormat(base_classes).write(name) for name in cleaned.names[:n]]
        dropped = clean(_up_to(raw, cleaned, len(names))).counts()
        if related and related.kind:
            known = {name.lower() for name in related.of_that_kind}
            count = sum(name.lower() in known for name in cleaned.names[:n])
            account = outcome(n, len(names), dropped, kind=related.kind, of_that_kind=count)
        else:
            account = outcome(n, len(names), dropped)
        if not names and n:
            raise NovelClassesError(
                "WordNet has no word for these base classes' kin that may be proposed (dropped: "
                f'{cleaned.counts() or "none"}); use an LLM, a word list or WordNetClasses("random")'
            )
        if len(names) < n and self.allow_fewer:
            log.warning("WordNet has %d of the %d names asked for; going on with these", len(names), n)
        elif len(names) < n:
            raise NovelClassesError(
                f"{n} novel classes were asked for, but WordNet has {len(names)} that fit these base classes "
                f"(dropped: {cleaned.counts() or 'none'}); lower n_novel (--n), allow fewer (--allow-fewer), "
                "or use an LLM or a word list",
                names,
            )
        self._warn_of_neighbours(account)
        return NovelNames(tuple(names), {**self.describe(), "outcome": account})

    def _warn_of_neighbours(self, account: dict[str, Any]) -> None:
        kept, kind = account["kept"], account.get("kind")
        if kind and (count := account["of_that_kind"]) < _MOSTLY * kept:
            log.warning(
                'WordNet has %d names for further kinds of "%s"; the other %d of the %d novel classes are only near '
                "to these, or parts of them. Read them, ask for fewer (--n, n_novel), or use an LLM",
                count, kind, kept - count, kept,
            )  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """Strategy, options, WordNet's version, digest of the words left out."""
        about: dict[str, Any] = {"source": "wordnet", "strategy": self.strategy, "domain": self.domain}
        root = "packaged" if self.wordnet_root is None else Path(self.wordnet_root).name
        version = load_wordnet(self.wordnet_root).version
        return {
            **about,
            "wordnet": f"{version} ({root})",
            "left_out": left_out().digest,
            "filtering": self.filtering,
            **({"allow_fewer": True} if self.allow_fewer else {}),
        }


def _check(base_classes: object, n: object) -> None:
    if isinstance(base_classes, str) or not isinstance(base_classes, Sequence) or not base_classes:
        raise InputError(f"base_classes must be a list of at least one class name, not {base_classes!r}")
    if type(n) is not int or n < 0:
        raise InputError(f"n must be 0 or more, an int, not {n!r}")


def _synonyms(wordnet: WordNet, names: Sequence[str]) -> list[str]:
    """All words for what the names mean: "pasture" for "pasture land"."""
    meant = {r.synset for name in names for r in readings(wordnet, name.replace("_", " ")) if r.whole}
    return sorted({sense.word for synset in meant for sense in wordnet.senses[synset]})


def _random_nouns(wordnet: WordNet, seed: int) -> list[str]:
    words = Words(wordnet)
    meant: dict[str, list[int]] = {}
    for synset, kind in enumerate(wordnet.kind):
        if kind == NOUN and synset not in words.left_out:
            best = words.best(synset, capitals=False)
            if best and best[1] > 0.3:
                meant.setdefault(best[0], []).append(synset)
    drawn = random.Random(seed).sample(sorted(meant), len(meant))
    return [name for name in drawn if not words.set_aside.issuperset(meant[name])]


def _up_to(raw: Sequence[str], cleaned: Cleaned, kept: int) -> Sequence[str]:
    """The names that were looked at for the first `kept`; the rest of the list plays no part."""
    if kept == 0:
        return raw
    last = cleaned.names[kept - 1].lower()
    return raw[: next((i + 1 for i, name in enumerate(raw) if name.lower() == last), len(raw))]
