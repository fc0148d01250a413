"""Lists that are not JSON: tables, CSV, bullets, numbers in any script, quoted strings, commas, lines, HTML, LaTeX."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Callable, Sequence
from itertools import groupby

from sar_reg.class_names import fold
from sar_reg.novel.cleaning import CHATTER, MARKER
from sar_reg.novel.llm.columns import column, is_heading

_INLINE_TAGS = "a|b|i|u|s|em|strong|span|code|del|sup|sub|small|mark|font"
_LAYOUT = (
    (re.compile(r"^\s*(?:```|~~~).*", re.MULTILINE), ""),
    (re.compile(r"\\(?:begin|end)\{\w+\*?\}|\\boxed\b"), "\n"),
    (re.compile(r"<(id|index|number|rank|score|reason|description)\b[^<>]*>[^<]*</\1>", re.IGNORECASE), ""),
    (re.compile(r"""<\w+[^<>]*\s(?:name|label|class|value)=["']([^"'<>]*)["'][^<>]*/>"""), r"\n\1\n"),
    (re.compile(r"</?t[dh]\b[^<>]*>", re.IGNORECASE), " | "),
    (re.compile(rf"</?(?!(?:{_INLINE_TAGS})\b)[a-zA-Z][^<>]{{0,200}}>", re.IGNORECASE), "\n"),
    (re.compile(r"\\item\b"), "\n- "),
    (re.compile(r"^[ \t]*>[ \t]?", re.MULTILINE), ""),
    (re.compile(r"(?<=\S)\s+(?=[•‣◦●▪▸►✓✔]\s)"), "\n"),
)
_NUMBERED_IN_LINE = re.compile(r"(?<![\w.])\(?(\d{1,3})[.)]\s+")
_LETTERED = re.compile(r"(?:[ivxIVX]{1,5}|[a-zA-Z])[.)]\s+(?=\S)")
_COUNTED = re.compile(r"\W*(\d{1,3})(?![\w.])[^\w(\[\"']*(?=\S)")
_QUOTED = re.compile(r""""((?![\s,;:])[^"\n]+(?<![\s,;:]))"|“([^”\n]+)”|(?<!\w)'((?:[^'\n]|'(?=\w))+)'""")
_BETWEEN_QUOTED = re.compile(r"[\s,;|()\[\]{}]*(?:and|or)?[\s(]*")
_SEPARATOR = re.compile(r"\s*[,;、，；|]\s*(?:(?:and|or|und|et|y|e)\s+(?=\w))?|\s+/\s+|\s*\n\s*")
_LEAD = re.compile(r"^(?:[^,;、，；]*?[:：]|(?:sure|of course|certainly|okay)[!.,])\s*", re.IGNORECASE)
_STOP = re.compile(r"\w{3}[.!?]+(?:\s|$)|。")
_CORRECTION = re.compile(
    r"\b(?:no, rather|instead|corrected|revised|(?:final|corrected|revised) (?:list|names|classes|answer))"
    r"\W*(?:json\s*)?$",
    re.IGNORECASE,
)
_AFTER_NAME = re.compile(r"[:：]|\s[–—-]\s")


def names_in_text(text: str) -> list[str]:
    """The names in an answer that is not JSON."""
    lines = _lines(text)
    ways: tuple[Callable[[list[str]], list[str]], ...] = (_table, _items, _quoted, _separated, _plain)
    return next((names for way in ways if (names := way(lines))), [])


def split_names(text: str) -> list[str]:
    """Names between commas, semicolons or line breaks."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 2:
        return names_in_text(text) if MARKER.match(lines[0].strip()) else [line.strip() for line in lines]
    return [part for part in _SEPARATOR.split(text.strip().rstrip(".。")) if part]


def _lines(text: str) -> list[str]:
    """The lines that are not empty, with their indents; one for each item of HTML, LaTeX and numbers in a row."""
    text = html.unescape(text if "\n" in text else text.replace("\\n", "\n"))
    for pattern, instead in _LAYOUT:
        text = pattern.sub(instead, text)
    lines: list[str] = []
    for line in text.splitlines():
        starts = list(_NUMBERED_IN_LINE.finditer(line))
        if len(starts) > 2 and _counts_up([int(start[1]) for start in starts]):
            cuts = [start.start() for start in starts]
            lines += [line[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
        else:
            lines.append(line)
    return [line.rstrip() for line in lines if line.strip()]


def _counts_up(numbers: list[int]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _table(lines: list[str]) -> list[str]:
    """Cells between bars; or, below a heading, between tabs, semicolons or commas."""
    bars = [[cell.strip() for cell in line.strip(" |").split("|")] for line in lines if line.count("|") > 1]
    if len(bars) > 1:
        ruled = [i for i, row in enumerate(bars) if all(set(cell) <= set("-:=+ ") for cell in row)]
        heading = bars[0] if ruled[:1] == [1] or is_heading(bars[0]) else []
        return column(heading, [row for i, row in enumerate(bars) if i not in ruled and row != heading])
    for mark in "\t;,":
        rows = [[cell.strip(" \"'") for cell in row] for row in csv.reader(lines, delimiter=mark)]
        same = len(rows) > 2 and len({len(row) for row in rows}) == 1
        if same and 1 < len(rows[0]) < 7 and is_heading(rows[0]):
            return column(rows[0], rows[1:])
    return []


def _items(lines: list[str]) -> list[str]:
    """Items with bullets or numbers. A list replaces one that it corrects, unless its numbers go on."""
    items = _marked(lines)
    if sum(map(bool, items)) < (1 if len(lines) < 3 else 2):
        return []
    names, before = list[str](), ""
    for marked, group in groupby(range(len(lines)), key=lambda i: bool(items[i])):
        numbers = list(group)
        if not marked:
            before = "\n".join(lines[i] for i in numbers)
            continue
        found = [
            name for item in _innermost([(lines[i], items[i]) for i in numbers]) for name in _of_item(item)
        ]
        number = _NUMBERED_IN_LINE.match(lines[numbers[0]].strip())
        goes_on = number and int(number[1]) > 1
        names = found if not goes_on and corrects(before, names, found) else names + found
    return names


def corrects(before: str, names: list[str], later: list[str]) -> bool:
    """Whether a later list takes the place of `names`: it repeats some, or is called a correction."""
    repeats = not {fold(name) for name in names}.isdisjoint(map(fold, later))
    return 2 * len(later) >= len(names) > 1 and (repeats or bool(_CORRECTION.search(before)))


def _marked(lines: list[str]) -> list[str]:
    """For each line what follows its bullet or number; empty where there is none."""
    stripped = [line.strip() for line in lines]
    counted = [match for line in stripped if (match := _COUNTED.match(line))]
    numbers = [int(match[1]) for match in counted]
    if len(numbers) > 2 and numbers[0] < 2 and _counts_up(numbers):
        pattern = _COUNTED
    else:
        letters = [line[0] for line in stripped if _LETTERED.match(line)]
        lettered = len(letters) > 1 and letters[0] in "aAiI"
        pattern = re.compile(f"{MARKER.pattern}|{_LETTERED.pattern}" if lettered else MARKER)
    items = [MARKER.sub("", pattern.sub("", s, count=1)) if pattern.match(s) else "" for s in stripped]
    headings = [line.startswith("#") for line in stripped]
    other = any(item and not heading for item, heading in zip(items, headings, strict=True))
    return ["" if other and heading else item for item, heading in zip(items, headings, strict=True)]


def _innermost(items: list[tuple[str, str]]) -> list[str]:
    """The items of a nested list, without headings; the outer ones if the inner ones describe them."""
    indents = [len(line) - len(line.lstrip()) for line, _ in items]
    inner = [item for (_, item), indent in zip(items, indents, strict=True) if indent > min(indents)]
    outer = [item for (_, item), indent in zip(items, indents, strict=True) if indent == min(indents)]
    describe = sum(_is_prose(item) or bool(_AFTER_NAME.search(item)) for item in inner)
    if not inner or 2 * describe > len(inner) or len(inner) <= len(outer):
        return [item for item in outer if not _is_prose(item)]
    deeper = [after > here for here, after in zip(indents, [*indents[1:], 0], strict=True)]
    return [item for (_, item), heading in zip(items, deeper, strict=True) if not heading]


def _is_prose(text: str) -> bool:
    """Whether a text is a sentence and not a name with or without an explanation."""
    name = _AFTER_NAME.split(text, maxsplit=1)[0]
    return len(name.split()) > (3 if _STOP.search(name) else 11)


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


def _quoted(lines: list[str]) -> list[str]:
    """The longest run of quoted strings, or one on most lines, as in code."""
    text, end = "\n".join(lines), 0
    runs: list[list[str]] = [[]]
    for match in _QUOTED.finditer(text):
        if not _BETWEEN_QUOTED.fullmatch(text[end : match.start()]):
            runs.append([])
        runs[-1].append(match[match.lastindex or 0])
        end = match.end()
    single = [name for run in runs if len(run) == 1 for name in run]
    best = max([*runs, single if 2 * len(single) > len(lines) else []], key=len)
    return best if len(best) > 1 else []


def _separated(lines: list[str]) -> list[str]:
    """The names between commas, if they are more than the lines."""
    names: list[str] = []
    for line in lines:
        rest = _LEAD.sub("", line)
        if len(_SEPARATOR.findall(rest)) > 1 and not CHATTER.match(rest) and not line.endswith("?"):
            found = split_names(rest.strip("[](){}* "))
            names = found if corrects(line.removesuffix(rest), names, found) else names + found
    return names if len(names) > max(2, len(lines) - 1) else []


def _plain(lines: Sequence[str]) -> list[str]:
    """Each line a name, without sentences; full stops count only where few lines have one."""
    stops = sum(line.endswith(".") for line in lines)
    no_name = (":", "!", "?", "：", "。") if 2 * stops > len(lines) > 2 else (".", ":", "!", "?", "：", "。")
    return [line.strip(" |") for line in lines if not line.endswith(no_name) and not _is_prose(line)]
