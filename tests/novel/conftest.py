from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sar_reg.novel.llm.llm_classes import LLMClasses
from tests.novel.llm.chat_server import ChatServer, start

KEY = "planted-key-9f8e7d6c5b4a"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    chat = ChatServer()
    running = start(chat)
    yield chat
    chat.released.set()
    running.shutdown()
    running.server_close()


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the source would have slept."""
    return []


@pytest.fixture
def source(
    server: ChatServer, waits: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., LLMClasses]:
    """Makes an `LLMClasses` that asks the server, with a cache and without sleeping."""
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    def make(**options: Any) -> LLMClasses:
        settings = {
            "base_url": server.url,
            "cache_dir": tmp_path / "cache",
            "sleep": waits.append,
            "timeout": 5.0,
        }
        return LLMClasses(**{"model": "tiny", **settings, **options})

    return make


def shown(error: BaseException) -> str:
    """All that a log or a debugger would show of an error, with whatever it was raised from."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__  # pyright: ignore[reportAssignmentType]
    texts = [repr(e) + str(e) + repr(vars(e)) for e in chain]
    return "".join([*texts, *traceback.format_exception(chain[0])])
