"""Reading names from the answer of a language model: the best list of strings found anywhere in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, cast

from sar_reg.class_names import fold
from sar_reg.errors import require
from sar_reg.novel.cleaning import ESCAPES, is_placeholder
from sar_reg.novel.llm.columns import column, rank
from sar_reg.novel.llm.text_lists import corrects, names_in_text, split_names

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
_FOLDED_REASONING = re.compile(
    r"<details\b[^<>]*(?:reasoning|>\s*<summary>[^<]*(?:reason|think|thought)).*?</details>",
    re.IGNORECASE | re.DOTALL,
)
_ENDS_IN_JSON = re.compile(r"[\]}]\s*(?:```\s*)?$")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w*)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_MARKER = re.compile(r"<\|[\w▁-]*\|>|<｜[^｜]*｜>")

_MARKS = re.compile(r'\\.|["\[\]{}]', re.DOTALL)
_LOOKS_LIKE_JSON = re.compile(r"""(?s)(?=.*["'“,:])[\[{]\s*(?:["'“{\[]|[\w-]+\s*:\s*["'\[{])""")


_SINGLE_QUOTED = re.compile(r"""'((?:[^'\\\n]|\\.|'(?=\w))*)'""")


class _Found(NamedTuple):
    """A list of strings, and its rank by the key above it."""

    rank: int
    names: list[str]


_NOTHING = _Found(-2, [])


def names_in(text: str, known: Iterable[str] = (), *, cut: bool = False) -> list[str]:
    """The names in one answer, unchanged; an empty list if there are none.

    Args:
        text: the answer.
        known: base and forbidden names, folded (`sar_reg.class_names.fold`): a list of these alone is an echo.
        cut: whether the answer was too long and cut off, so that its last name can be a part of one.

    Examples:
        >>> names_in('```json\\n["lynx"]\\n```'), names_in("Sure:\\n1. lynx\\n2. puma")
        (['lynx'], ['lynx', 'puma'])
        >>> names_in('{"names": ["lynx", "pu'), names_in('{"names": []}'), names_in("I cannot help.")
        (['lynx'], [], [])
    """
    return list(_names_in(text[-_MAX_CHARACTERS:], frozenset(known), cut))


@lru_cache(maxsize=512)
def _names_in(text: str, known: frozenset[str], cut: bool) -> tuple[str, ...]:
    answer = final_answer(text)
    if '"' not in answer:
        answer = answer.replace("&quot;", '"')
    best, values = _best_in_text(answer, known, 0, 0)
    # a list and not prose
    whole = answer.removeprefix("```json").removeprefix("```").lstrip().startswith("[")
    if not best.names or (best.rank <= 0 and len(best.names) == 1 and not whole):
        has_object = any(isinstance(value, dict) for value in values)
        if not has_object or answer.startswith(("-", "*", "1", "|")):
            written = names_in_text(answer)
            best = _Found(0, written[: len(written) - cut])
    return tuple(best.names[:_MAX_NAMES]) if _new(best.names, known) else ()


def final_answer(text: str) -> str:
    """The text without reasoning: what follows the last closing tag, or the final channel."""
    text = _FOLDED_REASONING.sub("", ESCAPES.sub("", text))
    channels = list(_CHANNEL.finditer(text))
    if channels:
        final = [c for c in channels if c[1].lower() == "final"]
        text = text[final[-1].end() :] if final else ""
        text = re.split(r"<\|(?:end|return|start|call)\|>", text)[0]
    ends = list(_END_OF_REASONING.finditer(text))
    if ends:
        text = text[ends[-1].end() :]
    # a server that takes off closing tags still sends what follows: a complete value at the end
    start = None if _ENDS_IN_JSON.search(text) else _START_OF_REASONING.search(text)
    return _MARKER.sub("", text[: start.start()] if start else text).strip()


def _values(text: str) -> Iterator[tuple[str, Any]]:
    """Every JSON value in a text that is an object, a list, or a string as a whole, and the text before it."""
    if text.startswith('"'):
        whole = _parse(text)
        if isinstance(whole, str) and whole != text:
            yield from _values(whole.strip())
            return
    position, read, count, failures, repairs = 0, 0, 0, 0, 0
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
        position = start + 1
        if isinstance(value, dict | list) and value:
            yield text[read:start], value
            position = read = start + len(piece)
        elif value is not None:
            yield text[read:start], value
        else:
            failures += end is None or end - start > 1000


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
    if '"' not in text:
        text = _SINGLE_QUOTED.sub(lambda match: json.dumps(match[1].replace("\\'", "'")), text)
    try:
        return require("json_repair", extra="llm").loads(text)
    except (ValueError, RecursionError, IndexError):
        return None


def _best_in_text(text: str, known: frozenset[str], above: int, depth: int) -> tuple[_Found, list[Any]]:
    """The best list in the JSON values of a text, and the values; later ones correct or continue earlier ones."""
    best, values = _NOTHING, list[Any]()
    for before, value in _values(text):
        later = _best(_lists(value, known, above, depth), known)
        best = _joined(best, later, later.rank == best.rank and corrects(before, best.names, later.names))
        values.append(value)
    objects = [value for value in values if isinstance(value, dict)]
    lines = _Found(0, _names(objects) if len(objects) > 1 else [])
    return _best([lines, best], known), values


def _joined(first: _Found, second: _Found, replaced: bool = False) -> _Found:
    """Both lists, or the one of the higher rank."""
    if second.rank != first.rank or replaced:
        return max(second, first, key=lambda found: found.rank)
    return _Found(first.rank, first.names + second.names)


def _best(found: Iterable[_Found], known: frozenset[str]) -> _Found:
    """The last of the best lists, by rank, then by the names that are not known."""
    best, merit = _NOTHING, (-2, 0.0, 0)
    for each in found:
        if (new := _new(each.names, known)) and (each.rank, new, len(each.names)) >= merit:
            best, merit = each, (each.rank, new, len(each.names))
    return best


def _lists(value: Any, known: frozenset[str], above: int, depth: int) -> Iterator[_Found]:
    """Every list of strings in a value; `above` is the rank of the key over it."""
    if depth > _DEPTH:
        return
    if isinstance(value, str):
        if value.lstrip().startswith(("[", "{")):
            yield _best_in_text(value.strip(), known, above, depth + 1)[0]
        elif (above > 0 or value.count("\n") > 1) and (names := split_names(value)):
            yield _Found(above if len(names) > 1 else 0, names)
    elif isinstance(value, list):
        entries = cast("list[Any]", value)
        names = _names(entries)
        if 3 * len(names) >= len(entries):
            yield _Found(above, names)
        inner = [e for e in entries if isinstance(e, dict) or (isinstance(e, list) and not names)]
        yield from _inside([(above, entry) for entry in inner], known, depth + 1)
    elif isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        named = any(isinstance(inner, str) and rank(key) > 0 for key, inner in fields.items())
        # a text beside a name describes it
        parts = [(rank(k, 0 if named and isinstance(v, str) else above), v) for k, v in fields.items()]
        yield from _inside(parts, known, depth + 1)
        if all(key.strip().isdecimal() or is_placeholder(key) for key in fields):
            numbered = any(c.isdigit() for key in fields for c in key) or not any(map(rank, fields))
            texts = [inner for inner in fields.values() if isinstance(inner, str)]
            yield _Found(above, texts if numbered else _names([fields]))
        elif len(fields) > 2 and all(rank(key, above) in (above, 0) for key in fields):
            sorts = {type(inner) for inner in fields.values()}
            described = len(sorts) == 1 and sorts.isdisjoint((list, dict))
            yield _Found(min(above, 0), list(fields) if described else [])  # names with their descriptions


def _inside(parts: list[tuple[int, Any]], known: frozenset[str], depth: int) -> Iterator[_Found]:
    """The best list in each part, which stands below a key of that rank; and those of lists by kind together."""
    together = _NOTHING
    for above, part in parts:
        best = _best(_lists(part, known, above, depth), known)
        yield best
        if isinstance(part, dict | list):
            together = _joined(together, best)
    yield together


def _names(entries: list[Any]) -> list[str]:
    """The strings of a list, or the names in its objects or rows."""
    objects = [{str(key).lower(): inner for key, inner in e.items()} for e in entries if isinstance(e, dict)]
    if objects:
        keys = list(dict.fromkeys(key for fields in objects for key in fields))
        nested = any(isinstance(inner, dict | list) for fields in objects for inner in fields.values())
        if len(objects) > 1 and sum(map(len, objects)) == len(keys) and not nested:
            return keys  # each has keys of its own: names with their descriptions
        return column(keys, [[fields.get(key) for key in keys] for fields in objects])
    if entries and all(isinstance(entry, list) for entry in entries):
        return column([], entries)
    return [entry for entry in entries if isinstance(entry, str)]


def _new(names: list[str], known: frozenset[str]) -> float:
    """How many different names are not known; sentences count little."""
    return sum(1.0 if len(name.split()) < 9 else 0.01 for name in set(map(fold, names)) - known)
