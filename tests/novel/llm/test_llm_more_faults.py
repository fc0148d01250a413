"""Further faults of servers, addresses, keys and disks: the full list, or an error that says what to do."""

from __future__ import annotations

import errno
import io
import json
import logging
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sar_reg.errors import InputError, SarRegError
from sar_reg.novel.llm import journal as journals
from sar_reg.novel.llm.classes import LLMClasses
from sar_reg.novel.source import NovelClassesError
from tests.novel.conftest import KEY
from tests.novel.llm import chat_server as chat
from tests.novel.llm.chat_server import Behaviour, ChatServer, Handler, completion, names, says, status

BASE = ["tabby cat", "beagle"]
Make = Callable[..., LLMClasses]
GOOD = ["class aq", "class bq", "class cq"]


def parts(*given: object) -> Behaviour:
    answer = json.loads(completion(""))
    answer["choices"][0]["message"]["content"] = list(given)
    return chat.raw(json.dumps(answer).encode())


def endless_error(handler: Handler) -> None:
    """An error of 200 MB."""
    try:
        handler.send(500, b"", length=200_000_000)
        for _ in range(200):
            handler.wfile.write(b"x" * 1_000_000)
    except OSError:
        pass
    handler.close_connection = True


def plain(number: int, body: bytes) -> Behaviour:
    return lambda handler: handler.send(number, body, {"content-type": "text/html"})


def no_format(number: int) -> Behaviour:
    return status(number, "response_format of type json_schema is not supported")


@pytest.mark.parametrize(
    ("fault", "waited"),
    [
        (status(429, headers={"retry-after-ms": "250"}), [0.25]),
        (status(429, headers={"retry-after-ms": "250", "retry-after": "9"}), [0.25]),
        (status(429, headers={"retry-after-ms": "x"}), [1.0]),
        (status(429, headers={"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}), [1.0]),
        (status(429, headers={"retry-after": "Fri, 31 Dec 0000 23:59:59 GMT"}), [0.0]),
        (status(429, headers={"retry-after": "Mon, 01 Jan 1990 00:00:00 GMT"}), [0.0]),
        (status(429, headers={"retry-after": ""}), [1.0]),
        (status(409), [1.0]),
        (status(502), [1.0]),
        (status(504), [1.0]),
        (status(599), [1.0]),
        (plain(500, b"<html>" + b"x" * 500_000), [1.0]),
        (plain(503, b"\xff\xfe\x00"), [1.0]),
        (endless_error, [1.0]),
        (no_format(400), []),
        (no_format(404), []),
        (no_format(415), []),
        (no_format(422), []),
        (no_format(500), []),
        (no_format(503), []),
        (status(400, "guided decoding is off"), []),
        (chat.raw(b"null"), [1.0]),
        (chat.raw(b"[]"), [1.0]),
        (chat.raw(b'"text"'), [1.0]),
        (chat.raw(b'{"choices": null}'), [1.0]),
        (chat.raw(b'{"choices": [null]}'), [1.0]),
        (chat.raw(b'{"choices": [{"message": {"content": {"a": 1}}}]}'), [1.0]),
        (chat.raw(b'{"choices": [{"message": {"content": "", "refusal": 3}}]}'), [1.0]),
        (chat.raw(b"data: {}\n\n", {"content-type": "text/event-stream"}), [1.0]),
        (chat.raw(b"\xff\xff"), [1.0]),
        (parts(), []),
        (says("<think>no end"), []),
        (says('{"names": ["N/A", "null", "[insert name]"]}'), []),
    ],
)  # fmt: skip
def test_passing_trouble_ends_in_the_full_list(
    server: ChatServer, source: Make, waits: list[float], fault: Behaviour, waited: list[float]
) -> None:
    server.script = [fault, chat.fresh()]
    assert source().generate(BASE, 3) == GOOD
    assert len(server.requests) == 2
    assert waits == waited


def test_an_answer_in_parts_is_joined(server: ChatServer, source: Make) -> None:
    server.script = [parts({"type": "text", "text": '{"names": ["lynx", '}, '"puma"]}', {"type": "image"})]
    assert source().generate(BASE, 2) == ["lynx", "puma"]


def test_the_body_of_an_error_is_cut(server: ChatServer, source: Make) -> None:
    sent: list[int] = []

    def counted(handler: Handler) -> None:
        try:
            handler.send(400, b"", length=200_000_000)
            for _ in range(200):
                handler.wfile.write(b"x" * 1_000_000)
                sent.append(1)
        except OSError:
            handler.close_connection = True

    server.script = [counted]
    with pytest.raises(NovelClassesError, match=r"rejected the request \(400\)"):
        source().generate(BASE, 3)
    assert len(sent) < 60  # of 600: what fits into the buffers of three connections


def requests_in_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sar_reg request"]


@pytest.mark.parametrize(
    "fault",
    [
        chat.trickle_error,
        chat.trickle_headers,
        chat.trickle_continue,
        chat.trickle_trailers,
        chat.trickle,
        chat.silent,
    ],
)
@pytest.mark.parametrize("own_client", [False, True])
def test_no_thread_is_left_when_a_server_trickles(
    server: ChatServer, source: Make, fault: Behaviour, own_client: bool
) -> None:
    openai = pytest.importorskip("openai")
    server.script = [fault, chat.fresh()]
    client = openai.OpenAI(api_key="user-key-123456", base_url=server.url) if own_client else None
    assert source(timeout=0.3, client=client).generate(BASE, 3) == GOOD
    deadline = time.monotonic() + 5
    while requests_in_threads() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not requests_in_threads()


def test_a_users_client_is_left_as_it_was(server: ChatServer, source: Make) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(api_key="user-key-123456", base_url=server.url) as client:
        seen: list[str] = []

        def own(done: int, wanted: int) -> None:
            client.chat.completions.create(model="mine", messages=[{"role": "user", "content": "hello"}])
            seen.append(server.headers[-1]["connection"])

        server.script = [chat.fresh(), names(["mine"])]
        assert source(client=client, progress=own).generate(BASE, 3) == GOOD
        assert seen == ["keep-alive"]  # the caller's own request, made at the same time
        assert server.headers[0]["connection"] == "close"
        assert not any(client._client.event_hooks.values())


@pytest.mark.parametrize("number", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(server: ChatServer, source: Make, number: int) -> None:
    other = ChatServer()
    running = chat.start(other)
    server.script = [status(number, headers={"location": f"{other.url}/chat/completions"})]
    try:
        with pytest.raises(
            NovelClassesError, match=rf"sends to another address \({number}\), which is not followed"
        ):
            source().generate(BASE, 3)
    finally:
        running.shutdown()
        running.server_close()
    assert other.requests == []


def test_a_refused_temperature_is_dropped_and_named(
    server: ChatServer, source: Make, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = [status(400, "Unsupported value: 'temperature' does not support 0.5"), chat.fresh()]
    assert source(temperature=0.5).generate(BASE, 3) == GOOD
    assert ["temperature" in request for request in server.requests] == [True, False]
    assert "tiny does not take temperature=0.5; going on without it" in caplog.text


@pytest.mark.parametrize("fault", [status(401), status(403), status(404), status(500), chat.raw(b"")])
def test_allow_fewer_does_not_cover_failing_servers(
    server: ChatServer, source: Make, fault: Behaviour
) -> None:
    server.script = [names(["lynx", "puma"]), fault]
    with pytest.raises(NovelClassesError, match="gave 2 of 9 novel classes") as caught:
        source(allow_fewer=True).generate(BASE, 9)
    assert caught.value.names == ["lynx", "puma"]


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


def shown(error: BaseException) -> str:
    """All that a log or a debugger would show of an error, with whatever it was raised from."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__  # pyright: ignore[reportAssignmentType]
    texts = [repr(e) + str(e) + repr(vars(e)) for e in chain]
    return "".join([*texts, *traceback.format_exception(chain[0])])


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
    with pytest.raises(InputError, match="OPENAI_API_KEY is empty or holds spaces, line breaks") as caught:
        make.generate(BASE, 3)
    assert KEY not in shown(caught.value)
    own = source(client=openai.OpenAI(api_key=bad, base_url=server.url))
    with pytest.raises(InputError, match="the key of client= is empty or holds") as caught:
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
