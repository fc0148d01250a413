"""Names that were received are not lost: errors of the caller, full disks, odd text, answers of other versions."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sar_reg.novel.llm import journal as journals
from sar_reg.novel.llm.llm_classes import LLMClasses
from sar_reg.novel.source import NovelClassesError
from tests.novel.conftest import KEY, shown
from tests.novel.llm import chat_server as chat
from tests.novel.llm.chat_server import ChatServer, completion, names

BASE = ["tabby cat", "beagle"]
Make = Callable[..., LLMClasses]
GOOD = ["class aq", "class bq", "class cq"]


def test_an_error_of_the_caller_keeps_the_names(server: ChatServer, source: Make) -> None:
    def progress(done: int, wanted: int) -> None:
        raise ValueError(f"the terminal is gone {KEY}")

    server.script = [names(["lynx", "puma"])]
    with pytest.raises(NovelClassesError, match="interrupted by ValueError: the terminal is gone") as caught:
        source(progress=progress).generate(BASE, 9)
    assert caught.value.names == ["lynx", "puma"]
    assert KEY not in shown(caught.value)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), PermissionError("read-only")])
def test_a_full_disk_costs_no_names(
    server: ChatServer,
    source: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: OSError,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(journals, "write_atomic", fail)
    assert source().generate(BASE, 3) == GOOD
    assert "an answer could not be kept in" in caplog.text


def test_lone_surrogates_are_kept_as_a_question_mark(
    server: ChatServer, source: Make, tmp_path: Path
) -> None:
    server.script = [
        chat.raw(completion("X").replace(b'"X"', b'"{\\"names\\": [\\"ly\\ud800nx\\", \\"puma\\"]}"'))
    ]
    assert "puma" in source().generate(BASE, 2)
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_journals_of_other_versions_are_read(server: ChatServer, source: Make, tmp_path: Path) -> None:
    assert source().generate(BASE, 3) == GOOD
    (path,) = tmp_path.rglob("*.json")
    entry = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({"reply": entry["reply"], "cost": 3, "model": None}), encoding="utf-8")
    assert source(offline=True).generate(BASE, 3) == GOOD
    for odd in ("[]", "7", '{"reply": 3}', "{", ""):
        path.write_text(odd, encoding="utf-8")
        assert source().generate(BASE, 3) == GOOD
        path = next(p for p in tmp_path.rglob("*.json"))
