"""Finished runs in files of JSON lines: one run a line, long lists of names once in a file beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.protocol.runs.record import FORMAT, Record, identity, other_version, read_record
from sar_reg.errors import InputError
from sar_reg.files import write_atomic

LISTS = "lists.jsonl"
SHORT = 7
"""Lists of more strings than this are kept in `LISTS`: novel names, templates, class names."""
INLINE = frozenset({"command"})
"""Entries that are long but differ in every run."""


def find_records(place: Path) -> list[Record]:
    """All finished runs in a folder, by file name, or in one archive; empty if there are none.

    Args:
        place: a folder with one file per run (*.json), or an archive (*.jsonl).
    """
    if place.is_file():
        return list(_read_archive(place))
    return [record for path in sorted(place.glob("*.json")) if (record := read_record(path))]


def read_records(place: Path) -> list[Record]:
    """All finished runs in a folder or archive.

    Raises:
        InputError: if there are none, or none of this version.
    """
    records = find_records(place)
    if not records:
        for path in sorted(place.glob("*.json")):
            if why := other_version(path):
                raise InputError(f"there are no run records of this version in {place}: {path.name} {why}")
        raise InputError(f"there are no run records in {place}; run a method with --out {place} first")
    return records


def write_archives(folder: Path, archives: Mapping[str, Sequence[Record]]) -> list[Path]:
    """Write archives that share one file of lists; returns the files.

    Args:
        folder: where they go. Its file of lists is written again from these archives alone.
        archives: file name without ending → runs.
    """
    lists: dict[str, list[str]] = {}
    lines = {name: [_to_line(record, lists) for record in records] for name, records in archives.items()}
    shared = [_dump({"sha256": key, "list": lists[key]}) for key in sorted(lists)]
    written = [write_atomic(folder / LISTS, "".join(shared))]
    return written + [write_atomic(folder / f"{name}.jsonl", "".join(rows)) for name, rows in lines.items()]


def _to_line(record: Record, lists: dict[str, list[str]]) -> str:
    def shorten(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shorten(name, entry) for name, entry in value.items()}
        if isinstance(value, list) and len(value) > SHORT and key not in INLINE and _all_text(value):
            lists[identity(value)] = value
            return {"list": identity(value)}
        return value

    return _dump(shorten("", {"format": FORMAT, **record}))


def _all_text(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _dump(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False) + "\n"


def _read_archive(path: Path) -> Iterator[Record]:
    lists = _read_lists(path.with_name(LISTS))

    def restore(value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {"list"}:
            if value["list"] not in lists:
                raise InputError(
                    f"{path} refers to a list that is not in {path.with_name(LISTS)}; copy both files together"
                )
            return lists[value["list"]]
        return {key: restore(entry) for key, entry in value.items()} if isinstance(value, dict) else value

    for number, record in _lines(path):
        if record.get("format") != FORMAT:
            why = other_version(record)
            raise InputError(
                f"{path}: line {number} {why}"
                if why
                else f"{path}, line {number}: not a run record of format {FORMAT}"
            )
        yield restore(record)


def _read_lists(path: Path) -> dict[str, list[str]]:
    lists = {entry["sha256"]: entry["list"] for _, entry in _lines(path)} if path.is_file() else {}
    for key, values in lists.items():
        if identity(values) != key:
            raise InputError(f"{path}: the list {key[:8]}… was changed; restore the file from the repository")
    return lists


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    # not splitlines, which also splits at characters that a name may hold
    *lines, rest = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate([*lines, rest] if rest else lines, start=1):
        try:
            yield number, json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number} is damaged: {error}") from error
