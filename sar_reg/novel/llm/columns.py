"""Which key of an object, or which column of a table, holds the names."""

from __future__ import annotations

import re
from collections.abc import Sequence

_FINAL_WORD = re.compile(r"(?<![a-zA-Z])(?i:final|corrected|revised|accepted)(?![a-z])")
_NEW_KEY = re.compile(
    r"new|novel|additional|further|extra|suggest|propos|generated|extension|expan|candidate", re.IGNORECASE
)
_NAMES_KEY = re.compile(r"names?$|class|label|items?$|list|answer|result|output|response", re.IGNORECASE)
_OLD_KEY = re.compile(
    r"base|known|given|existing|original|input|forbid|exclu|avoid|already|\bold|previous|current|seen|reason|thought"
    r"|thinking|analysis|note|reject|comment|explan|descri|example|step|plan"
    r"|synonym|alias|error|status|message|uuid|\b(?:id|code|role)$"
    r"|(?:checks?|corrections?|criteria|remarks?)$", re.IGNORECASE,
)  # fmt: skip
_NUMBER_HEADING = re.compile(r"#|no\.?|nr\.?|index|number|rank|n", re.IGNORECASE)
_SENTENCE = 9  # words


def rank(key: str, above: int = 0) -> int:
    """Rank the list below a key: -1 not the names, 0 unknown, 1 names, 2 new names, 3 the final names.

    `above` is the rank of the key over this one, which counts if this one is 0.
    """
    rest = _FINAL_WORD.sub("", key)
    alone = not any(c.isalpha() for c in rest)
    if rest != key and (alone or _NEW_KEY.search(rest) or _NAMES_KEY.search(rest)):
        return 3
    if _NEW_KEY.search(key):
        return 2
    if _OLD_KEY.search(key):
        return -1
    return max(above, 1) if _NAMES_KEY.search(key) else above


def is_heading(row: Sequence[str]) -> bool:
    """Whether the cells are what stands above columns."""
    return any(rank(cell) or _NUMBER_HEADING.fullmatch(cell) for cell in row if len(cell.split()) < 4)


def column(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The names in a table: by the heading, then the first of the columns with the most different short texts."""

    def texts(i: int) -> list[str]:
        cells = [cell for row in rows for cell in row[i : i + 1] if isinstance(cell, str)]
        return [cell for cell in cells if any(c.isalpha() for c in cell)]

    def merit(i: int) -> tuple[int, int, bool]:
        different = {text for text in texts(i) if len(text.split()) < _SENTENCE}
        key = heading[i] if different and i < len(heading) else ""
        return rank(key), len(different), key.endswith(("name", "names"))

    return texts(max(range(max(map(len, rows), default=1)), key=merit))
