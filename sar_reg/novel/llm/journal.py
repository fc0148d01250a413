"""Every answer of a language model, kept as it came, so that a second call asks only for what is missing."""

from __future__ import annotations

import json
import logging
import os
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sar_reg.errors import InputError
from sar_reg.files import set_aside, write_atomic
from sar_reg.novel.llm.reply import names_in

log = logging.getLogger(__name__)

_LONGEST_KEPT = 100_000


@dataclass(frozen=True)
class Entry:
    """One request and its answer, without secrets."""

    time: str
    model: str
    system_fingerprint: str | None
    form: str
    prompt: str
    reply: str
    refusal: str
    finish: str

    def names(self, known: frozenset[str] = frozenset()) -> list[str]:
        """The names in the answer, as they stand there; `known` as in `names_in`."""
        return names_in(self.reply, known)


class Journal:
    """The answers received so far: in memory, and one readable JSON file each where a folder is given.

    One file for each answer lets two processes write at once and a crash lose nothing that had arrived.

    Args:
        folder: where the files are kept (made when the first answer comes), or `None` for memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.entries: list[Entry] = []
        for path in sorted(folder.glob("*.json")) if folder else ():
            entry = _read(path)
            if entry is not None:
                self.entries.append(entry)

    def open_folder(self) -> None:
        """Create the folder now, so that a wrong path is reported before the first request.

        Raises:
            InputError: if it cannot be written to.
        """
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            writable = os.access(self.folder, os.W_OK)
        except OSError:
            writable = False
        if not writable:
            raise InputError(f"cannot keep answers in {self.folder}; choose another cache_dir")

    def add(self, entry: Entry) -> None:
        """Keep an answer."""
        self.entries.append(entry)
        if self.folder:
            content = {**asdict(entry), "reply": entry.reply[:_LONGEST_KEPT]}
            name = f"{entry.time.replace(':', '')}-{uuid.uuid4().hex[:6]}.json"
            try:
                write_atomic(self.folder / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            except (OSError, UnicodeError) as error:
                log.warning(
                    "an answer could not be kept in %s (%s); it is used, but not kept", self.folder, error
                )

    def names(self, known: frozenset[str] = frozenset()) -> list[str]:
        """All names received, in the order in which they came; `known` as in `names_in`."""
        return [name for entry in self.entries for name in entry.names(known)]

    def account(self) -> dict[str, Any]:
        """Who answered, when and in which form, for provenance."""
        entries = self.entries
        return {
            "received": len(self.names()),
            "answers": len(entries),
            "models": sorted({entry.model for entry in entries}),
            "system_fingerprints": sorted({e.system_fingerprint for e in entries if e.system_fingerprint}),
            "forms": sorted({entry.form for entry in entries}),
            "first": min((entry.time for entry in entries), default=None),
            "last": max((entry.time for entry in entries), default=None),
        }


def utc_now() -> str:
    """The time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read(path: Path) -> Entry | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        # another version may have more fields or fewer; the names are in the reply
        texts = {f.name: stored.get(f.name) for f in fields(Entry)}
        if not isinstance(texts["reply"], str):
            raise TypeError("the reply is not text")
        entry = Entry(**{name: text if isinstance(text, str) else "" for name, text in texts.items()})
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        with suppress(OSError):  # a folder that can only be read
            set_aside(path, error)
        return None
    return entry
