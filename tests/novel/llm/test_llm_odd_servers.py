"""Odd servers, over real HTTP: the full list after a repeat, bounded reading, no thread left, and no redirect."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest

from sar_reg.novel.llm.llm_classes import LLMClasses
from sar_reg.novel.source import NovelClassesError
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


def test_names_that_come_as_parts_are_not_glued_together(server: ChatServer, source: Make) -> None:
    server.script = [parts("lynx", "puma", "ocelot")]
    assert source().generate(BASE, 3) == ["lynx", "puma", "ocelot"]


def test_the_arguments_of_a_call_are_read_where_there_is_no_text(server: ChatServer, source: Make) -> None:
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "add", "arguments": '{"names": ["lynx", "puma"]}'},
    }
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    server.script = [chat.raw(json.dumps({"choices": [{"message": message}]}).encode())]
    assert source().generate(BASE, 2) == ["lynx", "puma"]


@pytest.mark.parametrize("body", [b'{"error": "no such model"}', b"no such model", b'["no such model"]'])
def test_the_words_of_an_error_in_any_form_are_shown(server: ChatServer, source: Make, body: bytes) -> None:
    server.script = [plain(400, body)]
    with pytest.raises(
        NovelClassesError, match=r"rejected the request \(400\). Its message: .*no such model"
    ):
        source().generate(BASE, 3)


def test_answers_that_end_before_the_first_name_are_explained(server: ChatServer, source: Make) -> None:
    server.script = [says("", finish="length")]
    with pytest.raises(
        NovelClassesError, match=r"cut off before the first name.*raise the server's limit of tokens"
    ):
        source().generate(BASE, 3)


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
    assert "tiny does not take temperature=0.5; continuing without it" in caplog.text


@pytest.mark.parametrize("fault", [status(401), status(403), status(404), status(500), chat.raw(b"")])
def test_allow_fewer_does_not_cover_failing_servers(
    server: ChatServer, source: Make, fault: Behaviour
) -> None:
    server.script = [names(["lynx", "puma"]), fault]
    with pytest.raises(NovelClassesError, match="returned 2 of 9 novel classes") as caught:
        source(allow_fewer=True).generate(BASE, 9)
    assert caught.value.names == ["lynx", "puma"]
