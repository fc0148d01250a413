"""Reading a WNDB folder (`data.noun`, `data.adj`, `index.sense`), such as nltk's corpus or Debian's package."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import IO

from sar_reg.errors import InputError
from sar_reg.novel.wordnet.graph import ADJECTIVE, INSTANCE, NOUN, OFFENSIVE, UNFIT, Sense, WordNet

OpenFile = Callable[[str], IO[bytes]]
_Key = tuple[str, int]  # part of speech and byte offset

_FILES = {"n": "data.noun", "a": "data.adj"}
_UNFIT = {"slang", "street name", "archaism", "trade name", "trademark", "plural", "combining form"}
_OFFENSIVE = {"ethnic slur", "disparagement", "obscenity"}
_OFFENSIVE_GLOSS = re.compile(
    r"ethnic slur|\((?:offensive|vulgar|obscene|disparaging|derogatory)"
    r"|(?:offensive|insulting|obscene|vulgar|derogatory|disparaging|contemptuous) (?:term|word|name|slang|expression)"
    r"|terms? of (?:abuse|contempt|disparagement)"
)
_PLACE_MARK = re.compile(r"\((?:a|p|ip)\)$")


@dataclass
class _Entry:
    """One line of a data file."""

    topic: int
    satellite: bool
    words: list[str]
    pointers: list[tuple[str, _Key]]
    gloss: str


def read_wndb(open_file: OpenFile) -> WordNet:
    """Read WordNet's database files, about ten seconds.

    Args:
        open_file: opens a file of the folder by its name, in binary mode.

    Raises:
        InputError: if a file is missing or not in WNDB format.
    """
    try:
        entries, version = _entries(open_file)
        usage, elsewhere = _usage(open_file)
    except (OSError, ValueError, IndexError) as error:
        raise InputError(
            f"cannot read WordNet: {error}. Needed are data.noun, data.adj and index.sense in WNDB format, "
            "as in nltk's corpus folder corpora/wordnet"
        ) from error
    number = {key: i for i, key in enumerate(entries)}
    listed = list(entries.values())
    wordnet = WordNet(
        version=version,
        kind=[NOUN if pos == "n" else ADJECTIVE for pos, _ in entries],
        topic=[entry.topic for entry in listed],
        flags=[_flags(entry, entries) for entry in listed],
        senses=[
            tuple(Sense(word, *usage.get((key, word.lower()), (0, 99))) for word in entry.words)
            for key, entry in entries.items()
        ],
        # a head adjective lists its satellites with the same mark as they list it
        parents=[
            _targets(entry, number, {"@", "@i", "&"} if entry.satellite else {"@", "@i"}) for entry in listed
        ],
        links=[_targets(entry, number, {"^", "="}) for entry in listed],
        mentions=_mentions(entries),
        elsewhere=elsewhere,
    )
    _link_same(wordnet, [entry.gloss for entry in listed])
    return wordnet


def _flags(entry: _Entry, entries: dict[_Key, _Entry]) -> int:
    domains = [entries[key] for mark, key in entry.pointers if mark == ";u" and key in entries]
    usages = {word for domain in domains for word in domain.words}
    offensive = bool(usages & _OFFENSIVE or _OFFENSIVE_GLOSS.search(entry.gloss))
    instance = any(mark == "@i" for mark, _ in entry.pointers)
    return INSTANCE * instance + UNFIT * bool(usages & _UNFIT) + OFFENSIVE * offensive


def _targets(entry: _Entry, number: dict[_Key, int], marks: set[str]) -> tuple[int, ...]:
    targets = (number[key] for mark, key in entry.pointers if mark in marks and key in number)
    return tuple(dict.fromkeys(targets))


def _link_same(wordnet: WordNet, glosses: list[str]) -> None:
    """Link siblings of which one definition begins with the other: masjid is "a Muslim place of worship", and mosque
    is one "that usually has a minaret".
    """
    defined = [gloss.partition(";")[0].strip() for gloss in glosses]
    for siblings in wordnet.children:
        kinds = (s for s in siblings if wordnet.kind[s] == NOUN and not wordnet.flags[s] & INSTANCE)
        for one, other in pairwise(sorted(kinds, key=defined.__getitem__)):
            if f"{defined[other]} ".startswith(f"{defined[one]} "):
                wordnet.links[one] += (other,)
                wordnet.links[other] += (one,)


def _entries(open_file: OpenFile) -> tuple[dict[_Key, _Entry], str]:
    entries: dict[_Key, _Entry] = {}
    version = "unknown"
    for pos, name in _FILES.items():
        with open_file(name) as stream:
            for raw in stream:
                line = raw.decode("utf-8")
                if line.startswith("  "):
                    version = line.split()[2] if line.split()[1:2] == ["WordNet"] else version
                else:
                    key, entry = _entry(pos, line)
                    entries[key] = entry
    return entries, version


def _entry(pos: str, line: str) -> tuple[_Key, _Entry]:
    data, _, gloss = line.partition(" | ")
    fields = data.split()
    n_words = int(fields[3], 16)
    words = [_PLACE_MARK.sub("", w).replace("_", " ") for w in fields[4 : 4 + 2 * n_words : 2]]
    start = 4 + 2 * n_words
    pointers = [
        (fields[i], (fields[i + 2].replace("s", "a"), int(fields[i + 1])))
        for i in range(start + 1, start + 1 + 4 * int(fields[start]), 4)
    ]
    entry = _Entry(int(fields[1]), fields[2] == "s", words, pointers, gloss.strip())
    return (pos, int(fields[0])), entry


def _usage(open_file: OpenFile) -> tuple[dict[tuple[_Key, str], tuple[int, int]], dict[str, int]]:
    """From `index.sense`: (synset, word) → (tag count, sense number), and tag counts as verb or adverb."""
    usage: dict[tuple[_Key, str], tuple[int, int]] = {}
    elsewhere: Counter[str] = Counter()
    kinds = {"1": "n", "3": "a", "5": "a"}
    with open_file("index.sense") as stream:
        for raw in stream:
            key, offset, number, count = raw.decode("utf-8").split()
            lemma, _, rest = key.partition("%")
            word = lemma.replace("_", " ")
            if rest[0] in kinds:
                usage[(kinds[rest[0]], int(offset)), word] = (int(count), int(number))
            elif int(count):
                elsewhere[word] += int(count)
    return usage, dict(elsewhere)


def _mentions(entries: dict[_Key, _Entry]) -> dict[str, int]:
    """How many definitions and examples use each word or phrase: a plain sign of how common it is."""
    known = {word.lower() for entry in entries.values() for word in entry.words}
    counts: Counter[str] = Counter()
    for entry in entries.values():
        parts = re.findall(r"[a-z'-]+", entry.gloss.lower())
        text = [part if part in known else part.rstrip("s") for part in parts]
        phrases = {" ".join(text[i : i + n]) for n in (1, 2, 3) for i in range(len(text) - n + 1)}
        counts.update(phrases & known)
    return dict(counts)
