from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sar_reg.novel.llm.classes import LLMClasses
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
