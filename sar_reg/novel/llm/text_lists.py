"""Lists that are not JSON: Markdown tables, CSV, bullets, numbers in any script, commas."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = (
    r"[\W_]{0,3}(?:(?:\d{1,4}|[①-⓿])(?:[*_]{0,2}[.):、．。）\]]+(?!\d)\s*|\s+[-–—]\s+)"
    r"|(?:[ivxIVX]{1,5}|[a-zA-Z])[.)]\s+)"
)
_BULLET = r"[-*+•‣◦●▪▸►→✓✔–—·]\s+(?:\[[ xX]\]\s*)?"
_MARKED = re.compile(rf"^(?:{_BULLET}|{_NUMBER}|[①-⓿]\s*)(?=\S)")
_NUMBERED_COLUMN = {"#", "no", "no.", "nr", "nr.", "id", "index", "number", "rank", "n"}
_NAME_COLUMN = re.compile(r"\b(?:new|novel|names?|class(?:es)?|labels?|items?)\b", re.IGNORECASE)
_SEPARATOR = re.compile(r"\s*[,;、，；|]\s*(?:(?:and|or|und|et|y|e)\s+(?=\w))?|\s*\n\s*")
_LEAD = re.compile(r"^(?:[^,;、，；]*?[:：]|(?:sure|of course|certainly|okay)[!.,])\s*", re.IGNORECASE)


def names_in_text(text: str) -> list[str]:
    """The names in an answer that is not JSON."""
    text = re.sub(r"^\s*(?:```|~~~).*$", "", text, flags=re.MULTILINE)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    rows = [_cells(line) for line in lines if line.count("|") > 1]
    if len(rows) > 1:
        return _column([row for row in rows if not all(set(cell) <= set("-:= ") for cell in row)])
    comma = [[cell.strip(" \"'") for cell in line.split(",")] for line in lines]
    same_length = len(lines) > 2 and len({len(row) for row in comma}) == 1
    if same_length and len(comma[0]) in (2, 3, 4) and _is_header(comma[0]):
        return _column(comma)
    marked = [_MARKED.sub("", line) for line in lines if _MARKED.match(line)]
    if len(marked) > 1 or (marked and len(lines) < 3):
        return [name for item in marked for name in _of_item(item)]
    widest = max(lines, key=lambda line: len(_SEPARATOR.findall(line)), default="")
    if len(_SEPARATOR.findall(widest)) >= max(2, len(lines) - 1):
        return split_names(_LEAD.sub("", widest).strip("[](){} "))
    return [line for line in lines if not line.endswith((".", ":", "!", "?", "：", "。"))]


def split_names(text: str) -> list[str]:
    """Names between commas, semicolons or line breaks."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 2:
        return names_in_text(text) if _MARKED.match(lines[0].strip()) else [line.strip() for line in lines]
    return [part for part in _SEPARATOR.split(text.strip().rstrip(".。")) if part]


def _of_item(item: str) -> list[str]:
    """The names of one bullet: itself, or those after "Cats: "; none for a heading."""
    lead = _LEAD.match(item)
    if lead and not item[lead.end() :].strip(" *_"):
        return []
    if lead and len(_SEPARATOR.findall(item[lead.end() :])) > 1:
        rest = _SEPARATOR.split(item[lead.end() :])
        if all(len(part.split()) < 4 for part in rest):
            return [part for part in rest if part]
    return [item]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _is_header(row: Sequence[str]) -> bool:
    return any(cell.lower() in _NUMBERED_COLUMN or _NAME_COLUMN.fullmatch(cell) for cell in row)


def _column(rows: list[list[str]]) -> list[str]:
    """The column with the names: by its heading, else the first that is not numbers."""
    header, body = rows[0], rows[1:]
    named = [i for i, cell in enumerate(header) if _NAME_COLUMN.search(cell)]
    if not named and not _is_header(header) and len({len(row) for row in rows}) == 1:
        about = {"kind", "type", "description", "category", "notes"}
        body = body if any(cell.lower() in about for cell in header) else rows

    def numbers(column: int) -> bool:
        cells = [row[column : column + 1] for row in body]
        return bool(cells) and all(cell and not re.search(r"[^\W\d_]", cell[0]) for cell in cells)

    column = next((i for i in [*named, *range(len(header))] if not numbers(i)), 0)
    return [row[column] for row in body if column < len(row)]
