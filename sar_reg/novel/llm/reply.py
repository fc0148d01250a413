"""Names out of what a language model answered: JSON, JSON in a fence, cut JSON, or a list of lines."""

from __future__ import annotations

import json
import re
from typing import Any, cast

_MAX_NAMES = 2000
_THINKING = re.compile(r"<think>.*?(?:</think>|$)", re.DOTALL)
_FENCED = re.compile(r"```[\w-]*\s*\n(.*?)(?:```|$)", re.DOTALL)
_MARKED = re.compile(r"^(?:[-*+•‣·]\s+|\W{0,3}\d{1,3}[.):]\s*)\S")


def names_in(text: str) -> list[str]:
    """The names in one answer, as they stand there; an empty list if there are none.

    Examples:
        >>> names_in('```json\\n["lynx"]\\n```'), names_in("Sure:\\n1. lynx\\n2. puma")
        (['lynx'], ['lynx', 'puma'])
        >>> names_in('{"names": ["lynx", "pu'), names_in('{"names": []}'), names_in("I cannot help.")
        (['lynx'], [], [])
    """
    text = _THINKING.sub("", text).strip()
    fenced = [block.strip() for block in _FENCED.findall(text)]
    inner = text[min(_first(text, "{"), _first(text, "[")) : max(text.rfind("}"), text.rfind("]")) + 1]
    for candidate in (*fenced, text, inner):
        found = _in_json(candidate)
        if found is not None:
            return found[:_MAX_NAMES]
    body = fenced[0] if fenced else text
    if body.startswith(("{", "[")):
        return _in_cut_json(body)[:_MAX_NAMES]
    return _in_lines(body)[:_MAX_NAMES]


def _first(text: str, mark: str) -> int:
    return text.find(mark) if mark in text else len(text)


def _in_json(text: str) -> list[str] | None:
    """The names in complete JSON (maybe none), or None if it is not JSON."""
    if not text.startswith(("{", "[")):
        return None
    try:
        content: Any = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, dict):
        fields = cast("dict[str, Any]", content)
        content = fields["names"] if "names" in fields else next(filter(_is_list, fields.values()), None)
    entries = [_entry(item) for item in cast("list[Any]", content if _is_list(content) else [])]
    return [entry for entry in entries if entry is not None]


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _entry(item: Any) -> str | None:
    """A string, or the "name" of an object; anything else is no name."""
    if isinstance(item, dict):
        item = cast("dict[str, Any]", item).get("name")
    return item if isinstance(item, str) else None


def _in_cut_json(text: str) -> list[str]:
    """The complete strings of a JSON list that ends in the middle; keys of objects are no names."""
    decoder, found = json.JSONDecoder(strict=False), list[str]()
    position = text.find('"', text.find("[")) if "[" in text else -1
    while position >= 0:
        try:
            string, end = decoder.raw_decode(text, position)
        except ValueError:  # the string that was cut off
            break
        if not text[end : end + 9].lstrip().startswith(":"):
            found.append(string)
        position = text.find('"', end)
    return found


def _in_lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if _MARKED.match(line)]
    if marked:
        return [re.sub(r"^\W{0,3}\d{1,3}[.):]\s*|^[-*+•‣·]\s+", "", line) for line in marked]
    if len(lines) == 1 and lines[0].count(",") >= 2:
        lines = [part.strip() for part in lines[0].rstrip(".").split(",")]
    return [line for line in lines if not line.endswith((".", ":", "!", "?")) and not line.startswith("```")]
