"""A bounded exchange with a chat server: retry temporary failures, then use simpler answer formats, then stop."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from sar_reg.errors import SarRegError, counted, require
from sar_reg.novel.llm.client import hide_secrets, public_url
from sar_reg.novel.llm.deadline import within
from sar_reg.novel.llm.failure import Failure, from_status
from sar_reg.novel.llm.journal import Answer, utc_now
from sar_reg.novel.llm.prompt import AnswerFormat

log = logging.getLogger(__name__)

MAX_BYTES = 1_000_000
FORMS: tuple[AnswerFormat, ...] = ("schema", "json", "list")
_REPEATS = 4
_LONGEST_WAIT = 120.0
_GRACE = 0.5  # seconds for which errors with a better message may arrive before the request is cancelled
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


class ChatError(SarRegError):
    """The exchange cannot continue; the message states why and what to do."""


class NoMoreNamesError(ChatError):
    """The model has no further names, so the caller may continue with fewer."""


@dataclass
class Conversation:
    """Asks one model, counting every request.

    Attributes:
        client: as `open_client` returns it.
        model: its name at the server.
        timeout: seconds for one answer.
        max_requests: how many requests are sent at most, repeats included.
        temperature: sent if it is not `None`.
        sleep: how to wait between repeats.
        requests: how many were sent.
    """

    client: Any = field(repr=False)
    model: str
    timeout: float
    max_requests: int
    temperature: float | None = None
    sleep: Callable[[float], None] = time.sleep
    requests: int = 0
    _form: int = 0

    @property
    def form(self) -> AnswerFormat:
        """The answer format in use: a JSON schema, JSON mode, or a plain list."""
        return FORMS[self._form]

    @property
    def host(self) -> str:
        """The server's address without secrets."""
        return public_url(self.client.base_url)

    def simpler(self) -> None:
        """Take the next simpler answer format, if there is one."""
        self._form = min(self._form + 1, len(FORMS) - 1)

    def ask(self, prompt: Callable[[AnswerFormat], str]) -> Answer:
        """One answer, after as many repeats as it takes within the bounds.

        Raises:
            ChatError: if the server refuses for good, keeps failing, or the requests are used up.
        """
        repeats, last = 0, ""
        while True:
            if self.requests >= self.max_requests:
                advice = "raise max_requests= or call again"
                raise ChatError(
                    f"the limit of {counted(self.max_requests, 'request')} is reached; {advice}{last}"
                )
            self.requests += 1
            text = prompt(self.form)
            result = within(
                self.timeout + _GRACE, lambda text=text: self._request(text), late=self._too_late()
            )
            if isinstance(result, Answer):
                return result
            last = f". The last one failed: {result.message}"
            log.info("request %d failed: %s", self.requests, result.message)
            if result.remedy == "without temperature" and self.temperature is not None:
                log.warning(
                    "%s does not take temperature=%s; continuing without it", self.model, self.temperature
                )
                self.temperature = None
            elif result.remedy in ("simpler", "without temperature") and self.form != FORMS[-1]:
                self.simpler()
            elif result.remedy == "again" and repeats < _REPEATS:
                self._pause(result, repeats)
                repeats += 1
            else:
                again = f" ({repeats + 1} attempts)" if repeats else ""
                raise ChatError(result.message + again)

    def _pause(self, failure: Failure, repeats: int) -> None:
        seconds = 2.0**repeats if failure.wait is None else failure.wait
        if seconds > _LONGEST_WAIT:
            raise ChatError(f"{failure.message}; it asks to wait {seconds:.0f} s")
        self.sleep(seconds)

    def _request(self, prompt: str) -> Answer | Failure:
        """Send one request. Errors of the client are returned, not raised: their text and causes can hold the key."""
        openai = require("openai", extra="llm")
        try:
            body = self._body(prompt)
            return body if isinstance(body, Failure) else self._read(body, prompt)
        except openai.APIStatusError as error:
            return from_status(error, self.host, self.model, self._short)
        except openai.APIConnectionError as error:
            return self._no_answer(error.__cause__ or error)
        except openai.OpenAIError as error:
            return Failure("stop", f"the client failed: {self._short(str(error))}")
        except Exception as error:
            # While a body is read, openai 2 lets errors of httpx through and openai 3 those of httpx2.
            if type(error).__module__.startswith("httpx"):
                return self._no_answer(error)
            return Failure("stop", f"the request failed: {self._short(f'{type(error).__name__}: {error}')}")

    def _body(self, prompt: str) -> bytes | Failure:
        """Read in pieces: the client's own time-out starts again with every byte that arrives."""
        options: dict[str, Any] = {
            "temperature": self.temperature,
            "response_format": _RESPONSE_FORMATS.get(self.form),
        }
        deadline = time.monotonic() + self.timeout
        body = bytearray()
        with self.client.chat.completions.with_streaming_response.create(
            model=self.model,
            messages=[{"role": "user", "content": prompt}],
            timeout=self.timeout,
            **{name: value for name, value in options.items() if value is not None},
        ) as response:
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    size = f"{MAX_BYTES // 1000} kB, which is not a list of class names"
                    return Failure(
                        "again", f"{self.host} sent more than {size}; check the model and base_url="
                    )
                if time.monotonic() > deadline:
                    return self._too_late("finish its answer")
        return bytes(body)

    def _read(self, body: bytes, prompt: str) -> Answer | Failure:
        try:
            content = json.loads(body)
            choice = cast("dict[str, Any]", content["choices"][0])
            message = cast("dict[str, Any]", choice["message"])
            reply, refusal = _joined(message.get("content")), _joined(message.get("refusal"))
            for call in cast("list[Any]", message.get("tool_calls") or ()):
                reply = reply or _joined(call["function"]["arguments"])
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            start = self._short(body[:120].decode("utf-8", "replace"))
            return Failure(
                "again",
                f"{self.host} answered with something that is not a chat completion ({start!r}); "
                "check base_url= (it usually ends in /v1) and whether a proxy is in between",
            )
        # a lone surrogate could not be kept in a file
        reply = hide_secrets(reply, self.client).encode("utf-8", "replace").decode()
        return Answer(
            time=utc_now(),
            model=self._short(str(content.get("model") or self.model)),
            system_fingerprint=self._short(str(content.get("system_fingerprint") or "")) or None,
            form=self.form,
            prompt=prompt,
            reply=reply,
            refusal=self._short(refusal),
            finish=str(choice.get("finish_reason")),
        )

    def _short(self, text: str) -> str:
        """A text of the server fit to be shown: one line, without secrets, at most 300 characters."""
        text = " ".join(hide_secrets(text, self.client).split())
        return text if len(text) <= 300 else text[:300] + "…"

    def _too_late(self, step: str = "answer") -> Failure:
        return Failure("again", f"{self.host} did not {step} within {self.timeout:g} s; raise timeout=")

    def _no_answer(self, error: BaseException) -> Failure:
        """The connection failed, broke, or stayed silent too long."""
        name = type(error).__name__
        if "Timeout" in name:
            return self._too_late()
        return Failure(
            "again",
            f"no connection to {self.host} ({self._short(f'{name}: {error}')}). Is the server running and "
            "base_url= right? In slim containers and behind company proxies, set SSL_CERT_FILE to the trusted "
            "certificates",
        )


def _joined(content: object) -> str:
    """The text of a message, which some servers return in parts."""
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        between = "\n" if all(isinstance(part, str) for part in parts) else ""  # a list of names
        return between.join(_joined(part.get("text") if isinstance(part, dict) else part) for part in parts)
    if content is not None and not isinstance(content, str):
        raise TypeError("the content is not text")
    return content or ""
