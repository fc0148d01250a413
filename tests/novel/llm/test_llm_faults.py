"""Everything a chat server can do wrong, over real HTTP: the full list, or an error that says what to do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sar_reg.novel.llm.deadline import within
from sar_reg.novel.llm.llm_classes import LLMClasses
from sar_reg.novel.source import NovelClassesError
from tests.novel.llm import chat_server as chat
from tests.novel.llm.chat_server import Behaviour, ChatServer, names, says, status

BASE = ["tabby cat", "beagle"]
Make = Callable[..., LLMClasses]


@pytest.mark.parametrize(
    ("fault", "waited"),
    [
        (status(429), [1.0]),
        (status(429, headers={"retry-after": "7"}), [7.0]),
        (status(429, headers={"retry-after": "-3"}), [0.0]),
        (status(429, headers={"retry-after": "nan"}), [1.0]),
        (status(429, headers={"retry-after": "soon"}), [1.0]),
        (status(500), [1.0]),
        (status(503, headers={"retry-after": "2"}), [2.0]),
        (status(408), [1.0]),
        (chat.reset_mid_body, [1.0]),
        (chat.cut_mid_body, [1.0]),
        (chat.raw(b"<html>busy</html>"), [1.0]),
        (chat.raw(b'{"choices": [{"message"'), [1.0]),
        (chat.raw(b'{"choices": []}'), [1.0]),
        (chat.raw(b'{"choices": [{"message": {"content": 7}}]}'), [1.0]),
        (chat.raw(b"[" * 50_000), [1.0]),
        (chat.raw(b""), [1.0]),
        (chat.raw(b"no gzip", {"content-encoding": "gzip"}), [1.0]),
        (chat.endless, [1.0]),
        (status(400, "no json_schema here"), []),
        (status(422), []),
        (status(501), []),
        (says("I cannot do that as a list, let me explain."), []),
        (says('{"names": []}'), []),
        (says('{"title": "animals"}'), []),
        (says(""), []),
        (says(None), []),
        (says(None, refusal="I would rather not."), []),
        (names(["beagles", "Tabby_Cat"]), []),
    ],
)  # fmt: skip
def test_passing_trouble_ends_in_the_full_list(
    server: ChatServer, source: Make, waits: list[float], fault: Behaviour, waited: list[float]
) -> None:
    server.script = [fault, chat.fresh()]
    assert source().generate(BASE, 3) == ["class aq", "class bq", "class cq"]
    assert len(server.requests) == 2
    assert waits == waited


def test_retry_after_can_be_a_date(server: ChatServer, source: Make, waits: list[float]) -> None:
    server.script = [status(429, headers={"retry-after": chat.until(time.time() + 30)}), chat.fresh()]
    assert len(source().generate(BASE, 3)) == 3
    assert 25 < waits[0] <= 31


def test_waits_grow_and_end(server: ChatServer, source: Make, waits: list[float]) -> None:
    server.script = [status(503)]
    with pytest.raises(NovelClassesError, match=r"has trouble \(503\); call again later.*\(5 attempts\)"):
        source().generate(BASE, 3)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert len(server.requests) == 5


@pytest.mark.parametrize("fault", [chat.silent, chat.trickle, chat.trickle_error, chat.trickle_headers])
def test_no_silence_and_no_trickle_lasts_longer_than_the_time_out(
    server: ChatServer, source: Make, fault: Behaviour
) -> None:
    server.script = [fault, chat.fresh()]
    began = time.monotonic()
    assert len(source(timeout=0.3).generate(BASE, 3)) == 3
    assert time.monotonic() - began < 3
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "message", "requests"),
    [
        (status(401, "bad key"), r"refused the key \(401\); set OPENAI_API_KEY .* Its message: .*bad key", 1),
        (status(403), r"does not let this key use 'tiny' \(403\)", 1),
        (status(404), r"knows no model 'tiny' \(404\), or base_url= lacks its ending, usually /v1", 1),
        (status(429, code="insufficient_quota"), "no quota left; see its billing page", 1),
        (status(429, headers={"retry-after": "900"}), r"asks to slow down \(429\).*it asks to wait 900 s", 1),
        (status(400, code="context_length_exceeded"), "prompt is too long for 'tiny'; pass fewer", 1),
        (status(413), "prompt is too long for 'tiny'; pass fewer base classes", 1),
        (status(400, "strange"), r"rejected the request \(400\). Its message: .*strange", 3),
        (status(429), r"asks to slow down \(429\); call again later. Its message: no \(5 attempts\)", 5),
        (chat.reset_mid_body, r"no connection to http://127.*Is the server running.*SSL_CERT_FILE", 5),
        (chat.raw(b"<html>sk-abcdefghijklmn"), r"not a chat completion \('<html>\[key\]'\); check base_url=", 5),
        (chat.endless, "sent more than 1000 kB, which is not a list of class names", 5),
        (says("No."), r"its last 3 answers held no names \(the last one began 'No.'\)", 3),
        (says('{"names": []}'), "its last 3 answers held no names", 3),
        (says(None, refusal="I will not."), r"it refuses \('I will not.'\); describe what the data set shows", 3),
        (says("", finish="content_filter"), "the server's content filter holds the answers back", 3),
        (names(["lynx", "Lynx", "lynxes"]), "stopped naming new classes, its last 3 answers added none", 4),
    ],
)  # fmt: skip
def test_lasting_trouble_ends_in_an_error_that_says_what_to_do(
    server: ChatServer, source: Make, fault: Behaviour, message: str, requests: int
) -> None:
    server.script = [fault]
    with pytest.raises(NovelClassesError, match=message):
        source().generate(BASE, 60)
    assert len(server.requests) == requests


def test_time_outs_and_absent_servers_are_named(server: ChatServer, source: Make) -> None:
    server.script = [chat.silent]
    with pytest.raises(
        NovelClassesError, match=r"did not answer within 0.1 s; raise timeout= \(5 attempts\)"
    ):
        source(timeout=0.1).generate(BASE, 3)
    server.script = [chat.trickle]
    with pytest.raises(NovelClassesError, match=r"did not finish its answer within 0.1 s; raise timeout="):
        source(timeout=0.1).generate(BASE, 3)
    with pytest.raises(NovelClassesError, match=r"no connection to http://127.0.0.1:9/v1 .*SSL_CERT_FILE"):
        source(base_url="http://127.0.0.1:9/v1").generate(BASE, 3)


def test_server_without_json_schema_is_asked_more_simply(server: ChatServer, source: Make) -> None:
    def old(handler: chat.Handler) -> None:
        if "response_format" in server.requests[-1]:
            status(400, "response_format is not supported")(handler)
        else:
            says("1. lynx\n2. puma\n3. ocelot")(handler)

    server.script = [old]
    found = source().generate(BASE, 3)
    assert found == ["lynx", "puma", "ocelot"]
    assert server.forms == ["json_schema", "json_object", "list"]
    assert "one name on each line" in server.prompts[-1]
    assert "JSON" not in server.prompts[-1]
    assert found.provenance["outcome"]["forms"] == ["list"]


def test_cut_answer_gives_its_whole_names_and_smaller_batches(server: ChatServer, source: Make) -> None:
    server.script = [says('{"names": ["lynx", "puma", "oce', finish="length"), chat.fresh()]
    found = source(batch_size=20).generate(BASE, 20)
    assert found[:3] == ["lynx", "puma", "class aq"]
    assert "Name 20 further" in server.prompts[0]
    assert "Name 10 further" in server.prompts[1]


def test_what_was_received_before_a_fault_is_kept(server: ChatServer, source: Make, tmp_path: Path) -> None:
    server.script = [chat.fresh(), status(401)]
    with pytest.raises(
        NovelClassesError, match=r"tiny returned 50 of 120 .* is kept in .*answers-.*the same call"
    ) as caught:
        source().generate(BASE, 120)
    assert len(caught.value.names) == 50
    server.script = [chat.fresh()]
    assert source().generate(BASE, 120)[:50] == caught.value.names
    assert "Name 50 further" in server.prompts[-2]
    assert "Name 20 further" in server.prompts[-1]


def test_interruption_keeps_what_was_received(server: ChatServer, source: Make) -> None:
    def interrupt(done: int, _wanted: int) -> None:
        if done == 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source(progress=interrupt).generate(BASE, 60)
    assert len(source().generate(BASE, 60)) == 60
    assert len(server.requests) == 2


def test_endless_duplicates_stop_with_an_account(
    server: ChatServer, source: Make, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = [names(["lynx", "Lynx", "Beagles", "puma", "PUG"])]
    with pytest.raises(NovelClassesError) as caught:
        source().generate(BASE, 200, exclude=["pug"])
    assert caught.value.names == ["lynx", "puma"]
    assert "tiny returned 2 of 200 novel classes" in str(caught.value)
    assert "'duplicate': 10, 'near a base class': 4, 'excluded': 4" in str(caught.value)
    assert source(allow_fewer=True).generate(BASE, 200, exclude=["pug"]) == ["lynx", "puma"]
    assert "Continuing with fewer, because of allow_fewer=True" in caplog.text


def test_requests_are_bounded(server: ChatServer, source: Make) -> None:
    server.script = [names([f"only {chat.letters(i)}"]) for i in range(100)]
    with pytest.raises(
        NovelClassesError,
        match=r"returned 24 of 200 .*: the limit of 24 requests is reached; raise max_requests=",
    ):
        source().generate(BASE, 200)
    assert len(server.requests) == 24
    with pytest.raises(NovelClassesError, match="the limit of 3 requests is reached"):
        source(max_requests=3, cache_dir=None).generate(BASE, 200)
    server.script = [status(503, "busy")]
    with pytest.raises(
        NovelClassesError, match=r"the limit of 2 requests is reached.* The last one failed: .*\(503\)"
    ):
        source(max_requests=2, cache_dir=None).generate(BASE, 200)


def test_floods_are_read(server: ChatServer, source: Make) -> None:
    hostile = ['"' + '\\"' * 100_000, "{" * 200_000, "<think>" * 30_000, "```" * 70_000, "1." * 100_000]
    server.script = [*(says(text) for text in hostile[:2]), chat.fresh()]
    assert len(source().generate(BASE, 3)) == 3
    for text in hostile[2:]:
        server.script = [says(text)]
        with pytest.raises(NovelClassesError):
            source(cache_dir=None).generate(BASE, 3)
    many = json.dumps({"names": [f"word {chat.letters(i)}" for i in range(10_000)]})
    server.script = [says(many)]
    assert len(source(cache_dir=None).generate(BASE, 3)) == 3


def test_work_in_time_gives_its_result_or_its_error() -> None:
    assert within(5.0, lambda: 3, late=0) == 3
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 // 0, late=0)


def test_late_work_is_left_alone() -> None:
    ended = threading.Event()
    began = time.monotonic()
    assert within(0.1, lambda: int(ended.wait(20)), late=7) == 7
    assert time.monotonic() - began < 5
    ended.set()
