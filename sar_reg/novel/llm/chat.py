"""One request to an OpenAI-compatible chat server, bounded in time and size; no secret leaves this file."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, cast

from sar_reg.errors import SarRegError, require
from sar_reg.novel.llm.failure import Asked, Failure, from_status, no_answer
from sar_reg.novel.llm.prompt import AnswerFormat

MAX_BYTES = 1_000_000
_SCHEMA = {
    "type": "object",
    "properties": {"names": {"type": "array", "items": {"type": "string"}}},
    "required": ["names"],
    "additionalProperties": False,
}
_RESPONSE_FORMATS: dict[AnswerFormat, dict[str, Any]] = {
    "schema": {"type": "json_schema", "json_schema": {"name": "classes", "strict": True, "schema": _SCHEMA}},
    "json": {"type": "json_object"},
}


@dataclass(frozen=True)
class Answer:
    """What the model said, without secrets."""

    text: str
    refusal: str
    finish: str
    model: str
    system_fingerprint: str | None


class _BoundsError(SarRegError):
    """An answer is larger or slower than allowed."""


def ask(
    client: Any, asked: Asked, prompt: str, form: AnswerFormat, temperature: float | None
) -> Answer | Failure:
    """Send one request and read its answer.

    Errors of the client are returned as `Failure`, not raised: their text and causes can hold the key.
    """
    openai = require("openai", extra="llm")
    arguments: dict[str, Any] = {
        "model": asked.model,
        "messages": [{"role": "user", "content": prompt}],
        "timeout": asked.timeout,
    }
    if form in _RESPONSE_FORMATS:
        arguments["response_format"] = _RESPONSE_FORMATS[form]
    if temperature is not None:
        arguments["temperature"] = temperature
    try:
        return _read(_body(client, arguments, asked.timeout), asked)
    except _BoundsError as error:
        return Failure("again", f"{asked.host} {error}")
    except openai.APIStatusError as error:
        return from_status(error, asked)
    except openai.APIConnectionError as error:
        return no_answer(error.__cause__ or error, asked)
    except openai.OpenAIError as error:
        return Failure("stop", f"the client failed: {asked.short(str(error))}")
    except Exception as error:
        # While a body is read, openai 2 lets errors of httpx through and openai 3 those of httpx2.
        if type(error).__module__.startswith("httpx"):
            return no_answer(error, asked)
        return Failure("stop", f"the request failed: {asked.short(f'{type(error).__name__}: {error}')}")


def _body(client: Any, arguments: dict[str, Any], timeout: float) -> bytes:
    """Read in pieces: the client's own time-out restarts with every byte that arrives."""
    deadline = time.monotonic() + timeout
    body = bytearray()
    with client.chat.completions.with_streaming_response.create(**arguments) as response:
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_BYTES:
                raise _BoundsError(
                    f"sent more than {MAX_BYTES // 1000} kB, which is not a list of class names; "
                    "check the model and base_url="
                )
            if time.monotonic() > deadline:
                raise _BoundsError(f"did not finish its answer within {timeout:g} s; raise timeout=")
    return bytes(body)


def _read(body: bytes, asked: Asked) -> Answer | Failure:
    try:
        content = json.loads(body)
        choice = cast("dict[str, Any]", content["choices"][0])
        message = cast("dict[str, Any]", choice["message"])
        text, refusal = _joined(message.get("content")), message.get("refusal") or ""
        if not isinstance(refusal, str):
            raise TypeError("the content is not text")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        start = asked.short(body[:120].decode("utf-8", "replace"))
        return Failure(
            "again",
            f"{asked.host} answered with something that is not a chat completion ({start!r}); "
            "check base_url= (it usually ends in /v1) and whether a proxy stands between",
        )
    return Answer(
        text=asked.hide(text)
        .encode("utf-8", "replace")
        .decode(),  # a lone surrogate could not be kept in a file
        refusal=asked.short(refusal),
        finish=str(choice.get("finish_reason")),
        model=asked.short(str(content.get("model") or asked.model)),
        system_fingerprint=asked.short(str(content.get("system_fingerprint") or "")) or None,
    )


def _joined(content: object) -> str:
    """The text of a message, which some servers give in parts."""
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        return "".join(
            _joined(part.get("text")) if isinstance(part, dict) else _joined(part) for part in parts
        )
    if content is not None and not isinstance(content, str):
        raise TypeError("the content is not text")
    return content or ""
