"""Reading names from the answer of a language model: the best list of strings found anywhere in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, cast

from sar_reg.class_names import fold
from sar_reg.errors import require
from sar_reg.novel.llm.text_lists import names_in_text, split_names

_MAX_CHARACTERS = 100_000
_MAX_VALUES = 2000
_MAX_REPAIRS, _MAX_REPAIRED = 2, 8_000  # of a hostile text a repair takes time with the square of its length
_MAX_FAILURES = 20  # brackets that begin no value, each of which is looked at to the end of the text
_MAX_NAMES = 2000
_DEPTH = 6

_REASONING = "think|thinking|thought|thoughts|reasoning|reason|analysis|scratchpad|reflection|cot|seed:think"
_END_OF_REASONING = re.compile(
    rf"</\s*(?:{_REASONING})\s*>|\[/THINK\]|◁/think▷|<\|/?end_of_thought\|>|assistantfinal", re.IGNORECASE
)
_START_OF_REASONING = re.compile(
    rf"<\s*(?:{_REASONING})\b[^>]*>|\[THINK\]|◁think▷|<\|begin_of_thought\|>", re.IGNORECASE
)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w*)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_MARKER = re.compile(r"<\|[\w▁-]*\|>|<｜[^｜]*｜>")

_NEW_KEY = re.compile(
    r"new|novel|additional|further|extra|suggest|propos|generated|extension|expan|candidate", re.IGNORECASE
)
_NAMES_KEY = re.compile(
    r"names?$|classes|class_?list|labels|items|list|answer|result|output|response|final", re.IGNORECASE
)
_OLD_KEY = re.compile(
    r"base|known|given|existing|original|input|forbid|exclu|avoid|already|\bold|previous|current|seen|reason|thought"
    r"|thinking|analysis|note|reject|comment|explan|descri|example|step|plan", re.IGNORECASE,
)  # fmt: skip
_ENTRY_KEYS = "name class class_name classname label title new_class value term item text".split()
_MARKS = re.compile(r'\\.|["\[\]{}]', re.DOTALL)
_LOOKS_LIKE_JSON = re.compile(r"""[\[{]\s*(?:["'“{\[]|[\w-]+\s*:\s*["'\[{])""")


class _Found(NamedTuple):
    """A list of strings, and its rank by the key above it."""

    rank: int
    names: list[str]


def names_in(text: str, known: Iterable[str] = ()) -> list[str]:
    """The names in one answer, unchanged; an empty list if there are none.

    Args:
        text: the answer.
        known: base and forbidden names, folded (`sar_reg.class_names.fold`): a list of these alone is an echo.

    Examples:
        >>> names_in('```json\\n["lynx"]\\n```'), names_in("Sure:\\n1. lynx\\n2. puma")
        (['lynx'], ['lynx', 'puma'])
        >>> names_in('{"names": ["lynx", "pu'), names_in('{"names": []}'), names_in("I cannot help.")
        (['lynx'], [], [])
    """
    return list(_names_in(text[-_MAX_CHARACTERS:], frozenset(known)))


@lru_cache(maxsize=512)
def _names_in(text: str, known: frozenset[str]) -> tuple[str, ...]:
    answer = final_answer(text)
    values = list(_values(answer))
    found = [entry for value in values for entry in _lists(value, rank=0, depth=0)]
    if len(values) > 1:  # JSON lines
        found += _lists([v for v in values if isinstance(v, dict)], rank=0, depth=0)
    found = [f for f in found if _new(f.names, known)]
    best = max(reversed(found), key=lambda f: (f.rank, _new(f.names, known), len(f.names)), default=None)
    # a list and not prose
    whole = answer.removeprefix("```json").removeprefix("```").lstrip().startswith("[")
    if best is not None and (best.rank > 0 or len(best.names) > 1 or whole):
        return tuple(best.names[:_MAX_NAMES])
    if any(isinstance(value, dict) for value in values) and not answer.startswith(("-", "*", "1", "|")):
        return tuple(best.names) if best else ()
    written = names_in_text(answer)
    return tuple(written[:_MAX_NAMES]) if _new(written, known) else ()


def final_answer(text: str) -> str:
    """The text without reasoning: what follows the last closing tag, or the final channel."""
    channels = list(_CHANNEL.finditer(text))
    if channels:
        final = [c for c in channels if c[1].lower() == "final"]
        text = text[final[-1].end() :] if final else ""
        text = re.split(r"<\|(?:end|return|start|call)\|>", text)[0]
    ends = list(_END_OF_REASONING.finditer(text))
    if ends:
        text = text[ends[-1].end() :]
    start = _START_OF_REASONING.search(text)
    return _MARKER.sub("", text[: start.start()] if start else text).strip()


def _values(text: str) -> Iterator[Any]:
    """Every JSON value in a text that is an object, a list, or a string as a whole."""
    if text.startswith('"'):
        whole = _parse(text)
        if isinstance(whole, str) and whole != text:
            yield from _values(whole.strip())
            return
    position, count, failures, repairs = 0, 0, 0, 0
    bracket = re.compile(r"[\[{]")
    while count < _MAX_VALUES and failures < _MAX_FAILURES and (match := bracket.search(text, position)):
        start = match.start()
        end = _end(text, start)
        piece = text[start:end] if end else _without_cut_string(text[start:])
        value = _parse(piece)
        if value is None and repairs < _MAX_REPAIRS and _LOOKS_LIKE_JSON.match(piece):
            value = _repair(piece[:_MAX_REPAIRED])
            repairs += 1
        count += 1
        if isinstance(value, dict | list) and value:
            yield value
            position = start + len(piece)
        else:
            yield from [value] if value is not None else []
            failures += end is None or end - start > 1000
            position = start + 1


def _end(text: str, start: int) -> int | None:
    """One past the bracket that closes the one at `start`; None if the text ends before."""
    depth, quoted = 0, False
    for match in _MARKS.finditer(text, start):
        mark, position = match[0], match.end()
        if mark == '"':
            quoted = not quoted
        elif not quoted and mark in "[{":
            depth += 1
        elif not quoted and mark in "]}":
            depth -= 1
            if depth == 0:
                return position
    return None


def _without_cut_string(text: str) -> str:
    """A text that ends in the middle of a string, up to the beginning of that string."""
    mark = '"' if '"' in text else "'"
    quotes = [match.end() for match in re.finditer(rf"\\\\.|{mark}", text, re.DOTALL) if match[0] == mark]
    return text[: quotes[-1] - 1] if len(quotes) % 2 else text


def _parse(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _repair(text: str) -> Any:
    try:
        return require("json_repair", extra="llm").loads(text)
    except (ValueError, RecursionError, IndexError):
        return None


def _lists(value: Any, *, rank: int, depth: int) -> Iterator[_Found]:
    """Every list of strings in a value; `rank` is that of the key above it."""
    if depth > _DEPTH:
        return
    if isinstance(value, str):
        if value.lstrip().startswith(("[", "{")):
            for inner in _values(value.strip()):
                yield from _lists(inner, rank=rank, depth=depth + 1)
        elif rank > 0 and (names := split_names(value)):
            yield _Found(rank if len(names) > 1 else 0, names)
    elif isinstance(value, list):
        entries = cast("list[Any]", value)
        rows = all(isinstance(entry, list) for entry in entries)
        names = [name for e in entries if rows or not isinstance(e, list) if (name := _entry(e)) is not None]
        if names and 3 * len(names) >= len(entries):
            yield _Found(rank, names)
        for entry in entries:
            if isinstance(entry, dict | list):
                yield from _lists(entry, rank=rank, depth=depth + 1)
    elif isinstance(value, dict):
        yield from _in_object(cast("dict[str, Any]", value), rank, depth)


def _in_object(fields: dict[str, Any], rank: int, depth: int) -> Iterator[_Found]:
    ranks = {key: _rank(key, rank) for key in fields}
    for key, inner in fields.items():
        yield from _lists(inner, rank=ranks[key], depth=depth + 1)
    plain = all(own == rank or own == 0 for own in ranks.values())
    if len(fields) > 1 and plain and all(isinstance(inner, list) for inner in fields.values()):
        entries = (_entry(item) for inner in fields.values() for item in inner)  # lists by kind
        yield _Found(rank, [name for name in entries if name is not None])
    elif len(fields) > 1 and plain and all(key.strip().isdecimal() for key in fields):
        yield _Found(rank, [inner for inner in fields.values() if isinstance(inner, str)])
    elif len(fields) > 2 and plain and not any(isinstance(inner, list) for inner in fields.values()):
        yield _Found(min(rank, 0), list(fields))  # names with their descriptions


def _rank(key: str, above: int) -> int:
    if _OLD_KEY.search(key) and not _NEW_KEY.search(key):
        return -1
    return 2 if _NEW_KEY.search(key) else max(above, 1) if _NAMES_KEY.search(key) else above


def _entry(item: Any) -> str | None:
    """A string, or the name in an object or a row; anything else is not a name."""
    if isinstance(item, dict):
        fields = {str(key).lower(): inner for key, inner in cast("dict[Any, Any]", item).items()}
        keyed = [fields[key] for key in _ENTRY_KEYS if isinstance(fields.get(key), str)]
        strings = [inner for inner in fields.values() if isinstance(inner, str)]
        return (keyed or strings or [None])[0]
    if isinstance(item, list):
        item = next((inner for inner in cast("list[Any]", item) if isinstance(inner, str)), None)
    return item if isinstance(item, str) else None


def _new(names: list[str], known: frozenset[str]) -> float:
    """How many of the names are not known; sentences count little."""
    return sum(1.0 if len(name.split()) < 9 else 0.01 for name in names if fold(name) not in known)
