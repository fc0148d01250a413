"""A planted key must be found nowhere: not in files, logs, reprs, descriptions, errors and their causes."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sar_reg.errors import InputError
from sar_reg.novel.llm.client import hide_secrets
from sar_reg.novel.llm.llm_classes import LLMClasses
from sar_reg.novel.source import NovelClassesError
from tests.novel.conftest import KEY
from tests.novel.llm import chat_server as chat
from tests.novel.llm.chat_server import Behaviour, ChatServer

BASE = ["tabby cat", "beagle"]


def echo_as_error(handler: chat.Handler) -> None:
    """A careless server quotes the header it was sent."""
    chat.status(401, f"Incorrect key: {handler.headers['authorization']}")(handler)


def echo_as_answer(handler: chat.Handler) -> None:
    chat.names([f"lynx {handler.headers['authorization']}", "puma", KEY])(handler)


def echo_as_refusal(handler: chat.Handler) -> None:
    chat.says(None, refusal=f"no, {KEY}")(handler)


def echo_as_rubbish(handler: chat.Handler) -> None:
    chat.raw(f"<html>{KEY}</html>".encode())(handler)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "fault",
    [
        echo_as_error,
        echo_as_answer,
        echo_as_refusal,
        echo_as_rubbish,
        chat.reset_mid_body,
        chat.status(500, KEY),
        chat.status(400, KEY),
        chat.status(404, f"Bearer {KEY}"),
    ],
)
def test_the_key_is_nowhere(
    server: ChatServer,
    source: Callable[..., LLMClasses],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    fault: Behaviour,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "httpx", "httpcore", "sar_reg"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    server.script = [chat.names(["ocelot"]), fault]
    model = source()
    with pytest.raises(NovelClassesError) as caught:
        model.generate(BASE, 60)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    shown = [
        caplog.text,
        *capfd.readouterr(),
        repr(model),
        str(model.describe()),
        str(model.preview(BASE, 60)),
    ]
    shown += [repr(caught.value), str(caught.value.names), "".join(traceback.format_exception(caught.value))]
    shown += [f"{error!r} {error.args} {vars(error)}" for error in chain(caught.value)]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    shown += [f"{path} {path.read_text()}" for path in files]
    assert [text for text in shown if KEY in text] == []


class Client:
    api_key = "short-key-1"
    base_url = "http://token-as-user@host/v1?sig=querysecret1"

    @property
    def default_headers(self) -> dict[str, str]:
        return {"X-Api-Key": "headersecret1", "Authorization": "Bearer tokensecret1", "Accept": "application"}


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("bad short-key-1.", "bad [key]."),
        ("sig=querysecret1", "[key]"),
        ("for token-as-user", "for [key]"),
        ("headersecret1 tokensecret1", "[key] [key]"),
        ("an application", "an application"),
        ("sk-proj-0123456789ab", "[key]"),
        ("Bearer abcdefgh", "Bearer [key]"),
    ],
)
def test_keys_secret_headers_and_tokens_in_urls_are_hidden(text: str, hidden: str) -> None:
    assert hide_secrets(text, Client()) == hidden


def test_a_password_in_the_address_is_refused_since_http_clients_log_it() -> None:
    with pytest.raises(InputError, match="base_url must not hold a user or password") as caught:
        LLMClasses(base_url="http://me:password-1@localhost/v1")
    assert "password-1" not in str(caught.value)
