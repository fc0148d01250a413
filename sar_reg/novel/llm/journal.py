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
class Answer:
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
        """The names in the answer, unchanged; `known` as in `names_in`."""
        return names_in(self.reply, known, cut=self.finish == "length")


class Journal:
    """The answers received so far: in memory, and in one readable JSON file each if there is a folder.

    Each answer has its own file, so two processes can write at once, and a crash loses nothing that had arrived.

    Args:
        folder: where the files are kept (made when the first answer comes), or `None` for memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        stored = map(_read, sorted(folder.glob("*.json")) if folder and os.path.isdir(folder) else ())
        self.answers = [answer for answer in stored if answer is not None]

    def open_folder(self) -> None:
        """Create the folder, so that a wrong path is reported before the first request.

        Raises:
            InputError: if it cannot be written to.
        """
        if self.folder is not None:
            with suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
            if not (os.path.isdir(self.folder) and os.access(self.folder, os.W_OK)):
                raise InputError(f"cannot keep answers in {self.folder}; pass another cache_dir=")

    def add(self, answer: Answer) -> None:
        """Keep an answer."""
        self.answers.append(answer)
        if self.folder:
            content = {**asdict(answer), "reply": answer.reply[:_LONGEST_KEPT]}
            name = f"{answer.time.replace(':', '')}-{uuid.uuid4().hex[:6]}.json"
            try:
                write_atomic(self.folder / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            except OSError as error:
                log.warning(
                    "an answer could not be kept in %s (%s); it is used all the same", self.folder, error
                )

    def names(self, known: frozenset[str] = frozenset()) -> list[str]:
        """All names received, in the order in which they came; `known` as in `names_in`."""
        return [name for answer in self.answers for name in answer.names(known)]

    def account(self) -> dict[str, Any]:
        """Who answered, when and in which form, for provenance."""
        times = [answer.time for answer in self.answers]
        return {
            "received": len(self.names()),
            "answers": len(self.answers),
            "models": sorted({answer.model for answer in self.answers}),
            "system_fingerprints": sorted(
                {a.system_fingerprint for a in self.answers if a.system_fingerprint}
            ),
            "forms": sorted({answer.form for answer in self.answers}),
            "first": min(times, default=None),
            "last": max(times, default=None),
        }


def utc_now() -> str:
    """The time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read(path: Path) -> Answer | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        # another version may have more fields or fewer; the names are in the reply
        texts = {f.name: stored.get(f.name) for f in fields(Answer)}
        if not isinstance(texts["reply"], str):
            raise TypeError("the reply is not text")
        return Answer(**{name: text if isinstance(text, str) else "" for name, text in texts.items()})
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        with suppress(OSError):  # a folder that can only be read
            set_aside(path, error)
        return None
