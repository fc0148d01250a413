"""Novel classes from a list of words, or from a file that `python -m sar_reg novel` wrote."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from sar_reg.checks import whole_number
from sar_reg.class_names import name_tuple
from sar_reg.errors import InputError, counted
from sar_reg.files import file_path, sha256
from sar_reg.novel.cleaning import Filtering, check_filtering, clean_names
from sar_reg.novel.source import NovelClassesError, NovelNames, with_outcome


def read_names(path: str | os.PathLike[str]) -> list[str]:
    """Read class names from a file: one a line (`#` starts a comment), a JSON list, or JSON with "names".

    Raises:
        InputError: if the file cannot be read as text, is not one of these forms, or holds no name.
    """
    return _read(path)[0]


def _read(path: str | os.PathLike[str]) -> tuple[list[str], dict[str, Any] | None]:
    """The names in a file, and where they came from, if the file contains it."""
    try:
        text = file_path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read class names from {path} ({error})") from error
    origin = None
    if text.lstrip().startswith(("[", "{")):
        names, origin = _parse(text, path)
    else:
        lines = [line.strip() for line in text.splitlines()]
        names = [line for line in lines if line and not line.startswith("#")]
        if Path(path).suffix.lower() in (".csv", ".tsv"):
            _refuse_a_table(names, path)
    if not names:
        raise InputError(f"{path} holds no class name; write one name a line")
    return names, origin


def _refuse_a_table(lines: list[str], path: str | os.PathLike[str]) -> None:
    columns = re.split(r"[,;\t]", lines[0]) if lines else []
    if len(columns) > 1 or columns[:1] == ["name"]:
        raise InputError(
            f"{path} is a table with the columns {', '.join(columns)}; pass a file with one name a line and no header, "
            f"such as: cut -d, -f2 {path} | tail -n +2 > names.txt"
        )


def _parse(text: str, path: str | os.PathLike[str]) -> tuple[list[str], dict[str, Any] | None]:
    try:
        content: Any = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} starts like JSON but cannot be read as JSON ({error})") from error
    fields = cast("dict[str, Any]", content) if isinstance(content, dict) else {"names": content}
    names, origin = fields.get("names"), fields.get("source") or fields.get("provenance")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in cast("list[Any]", names)):
        raise InputError(
            f'{path} must hold a JSON list of strings, or an object with such a list under "names"'
        )
    return cast("list[str]", names), cast("dict[str, Any]", origin) if isinstance(origin, dict) else None


class WordList:
    """Novel classes drawn from a list of words.

    `generate` cleans the words, drops base and excluded names, and draws `n` of what is left at random by
    `seed`. They keep the list's order. If `n` is the number of usable words, all are returned.

    Args:
        words: the words, or the path of a file with them (see `read_names`).
        filtering: as in `clean_names`.
        allow_fewer: return what there is when fewer than `n` words are usable, instead of raising.

    Raises:
        InputError: if the list is empty or the file cannot be read.

    Examples:
        >>> WordList(["lynx", "Cats", "puma", "1. ocelot"]).generate(["cat"], 3).names
        ('lynx', 'puma', 'ocelot')
    """

    def __init__(
        self,
        words: Sequence[str] | str | os.PathLike[str],
        *,
        filtering: Filtering = "strict",
        allow_fewer: bool = False,
    ) -> None:
        from_file = isinstance(words, str | os.PathLike)
        names, self.origin = _read(words) if from_file else (words, None)
        check_filtering(filtering)
        self.words = name_tuple(names, "words")
        self.file = Path(words).name if from_file else None
        self.filtering: Filtering = filtering
        self.allow_fewer = allow_fewer
        if not self.words:
            raise InputError(
                "the word list is empty; pass at least as many words as novel classes are wanted"
            )

    def __repr__(self) -> str:
        origin = self.file or "given words"
        return f"WordList({origin}: {counted(len(self.words), 'word')}, filtering={self.filtering!r})"

    def generate(
        self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str] = (), seed: int = 0
    ) -> NovelNames:
        """Draw `n` of the words; see the class.

        Raises:
            NovelClassesError: if fewer than `n` usable words are in the list.
        """
        whole_number(n, "n")
        rng = random.Random(whole_number(seed, "seed"))
        cleaned = clean_names(self.words, base=base_classes, exclude=exclude, filtering=self.filtering)
        usable = cleaned.names
        if len(usable) < n and not (self.allow_fewer and usable):
            raise NovelClassesError(
                f"asked for {counted(n, 'novel class')}, but the word list {self.file or ''} has {len(usable)} "
                f"usable of {counted(len(self.words), 'word')} (dropped: {cleaned.counts() or 'none'})",
                usable,
                "add words, ask for fewer, or pass allow_fewer=True",
            )
        chosen = sorted(rng.sample(range(len(usable)), min(n, len(usable))))
        return with_outcome([usable[i] for i in chosen], n, cleaned.counts(), self.describe())

    def describe(self) -> dict[str, Any]:
        """The list's file name, size and hash, the filtering, and the origin that the file contains."""
        digest = sha256("\n".join(self.words))
        marked = {"looks_at_test_classes": True} if (self.origin or {}).get("looks_at_test_classes") else {}
        about = {
            "source": "word list",
            "file": self.file,
            "words": len(self.words),
            "sha256": digest,
            **marked,
        }
        return {**about, "filtering": self.filtering, "origin": self.origin}
