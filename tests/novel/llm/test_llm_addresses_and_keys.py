"""Addresses, settings and keys that cannot be, and a planted key that must be found nowhere."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from sar_reg.errors import InputError, SarRegError
from sar_reg.novel.llm.llm_classes import LLMClasses
from sar_reg.novel.source import NovelClassesError
from tests.novel.conftest import KEY, shown
from tests.novel.llm import chat_server as chat
from tests.novel.llm.chat_server import Behaviour, ChatServer, completion, names, says, status

BASE = ["tabby cat", "beagle"]
Make = Callable[..., LLMClasses]
GOOD = ["class aq", "class bq", "class cq"]


def plain(number: int, body: bytes) -> Behaviour:
    return lambda handler: handler.send(number, body, {"content-type": "text/html"})


@pytest.mark.parametrize(
    "url",
    ["localhost:8000/v1", "ftp://host/v1", "file:///etc/passwd", "http://", "http://host/v1?key=1", "http://h/v1#x",
     "http://host:99999/v1", "http://[::1/v1", "http://[::1", "http://host:port", "http://host:port/v1",
     "http://[::1]x/v1", "http://[v1.x]/v1", "http://999.1.1.1/v1", "http://\u0663.1.1.1/v1", "http://a..b/v1",
     f"http://{'a' * 70}/v1", f"http://host/{'x' * 70000}", "http://x\\y/v1", "http://<host>/v1",
     "http://a b/v1", "http://host/\nv1", ""],
)  # fmt: skip
def test_addresses_that_cannot_be_are_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="base_url must be an address like http://localhost:8000/v1"):
        LLMClasses(base_url=url)
    if url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with pytest.raises(InputError, match="the environment variable OPENAI_BASE_URL must be an address"):
            LLMClasses().generate(BASE, 3)
        with pytest.raises(InputError, match="the environment variable OPENAI_BASE_URL must be an address"):
            LLMClasses().describe()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY", "SSL_CERT_FILE"])
def test_settings_that_stop_the_http_client_are_named(
    source: Make, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv(name, "http://me:planted-password@[::1")
    with pytest.raises(InputError, match=f"openai cannot make a client .*{name}") as caught:
        source().generate(BASE, 3)
    assert "planted" not in shown(caught.value)


def test_an_address_with_a_password_is_refused_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "http://me:planted-password@host/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", secret)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for make in (lambda: LLMClasses(base_url=secret), lambda: LLMClasses().generate(BASE, 3)):
        with pytest.raises(InputError, match="must not hold a user or password") as caught:
            make()
        assert "planted" not in shown(caught.value)


def test_line_breaks_around_a_key_are_taken_off(
    server: ChatServer, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = source()
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\r\n")
    assert make.generate(BASE, 3) == GOOD
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "bad", [f"{KEY}\nx", f"{KEY}é", f"{KEY}\u2028x", f"{KEY} {KEY}", f"“{KEY}”", f"{KEY}\x7f"]
)
def test_a_key_that_cannot_be_is_refused_without_showing_it(
    server: ChatServer, source: Make, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    openai = pytest.importorskip("openai")
    make = source()
    monkeypatch.setenv("OPENAI_API_KEY", bad)
    with pytest.raises(
        InputError, match="OPENAI_API_KEY is empty, or contains spaces, line breaks"
    ) as caught:
        make.generate(BASE, 3)
    assert KEY not in shown(caught.value)
    own = source(client=openai.OpenAI(api_key=bad, base_url=server.url))
    with pytest.raises(InputError, match="the key of client= is empty, or contains") as caught:
        own.generate(BASE, 3)
    assert KEY not in shown(caught.value)
    assert server.requests == []


@pytest.mark.parametrize(
    "fault",
    [
        status(401, f"Incorrect API key provided: {KEY}"), status(400, KEY), status(429, KEY, {"retry-after": "999"}),
        status(500, KEY), chat.raw(KEY.encode()), says(f"I got the key {KEY}."), says(None, refusal=KEY),
        names([f"key {KEY}"]), plain(503, KEY.encode()), status(302, KEY, {"location": f"http://x/{KEY}"}),
        chat.raw(completion("x").replace(b"tiny-2026", KEY.encode()).replace(b"fp_1", KEY.encode())),
    ],
)  # fmt: skip
def test_a_planted_key_is_found_nowhere(
    server: ChatServer, source: Make, tmp_path: Path, fault: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="sar_reg")
    server.script = [fault]
    made = source()
    with pytest.raises(SarRegError) as caught:
        made.generate(BASE, 60)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    own_log = "".join(r.getMessage() for r in caplog.records if r.name.startswith("sar_reg"))
    for text in (shown(caught.value), own_log, kept.decode(), repr(made), json.dumps(made.describe())):
        assert KEY not in text


def test_keys_do_not_stay_in_the_standard_error(
    server: ChatServer, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("sar_reg").addHandler(handler)
    try:
        server.script = [status(503, KEY)]
        with pytest.raises(NovelClassesError):
            source().generate(BASE, 3)
    finally:
        logging.getLogger("sar_reg").removeHandler(handler)
    assert KEY not in stream.getvalue()
