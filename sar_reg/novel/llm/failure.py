"""Why a chat server gave no answer, and what helps: try again, ask in a simpler form, or stop."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, cast


@dataclass(frozen=True)
class Failure:
    """A request without an answer.

    Attributes:
        remedy: "again" (it may pass), "simpler" (the server rejected the request; a simpler answer format
            may do), "without temperature" (it names that option) or "stop".
        message: what happened and what to do, without secrets.
        wait: seconds that the server asked to wait, if it did.
    """

    remedy: Literal["again", "simpler", "without temperature", "stop"]
    message: str
    wait: float | None = None


@dataclass(frozen=True)
class Asked:
    """Whom a request went to. `hide` takes secrets out of what the server said."""

    host: str
    model: str
    timeout: float
    hide: Callable[[str], str]

    def short(self, text: str) -> str:
        """A text of the server fit to be shown: one line, without secrets, at most 300 characters."""
        text = " ".join(self.hide(text).split())
        return text if len(text) <= 300 else text[:300] + "…"


def from_status(error: Any, asked: Asked) -> Failure:
    """Sort an `openai.APIStatusError` by its status and code."""
    status, code, host = int(error.status_code), str(error.code or ""), asked.host
    words = _said(error)
    said = f"It said: {asked.short(words)}"
    if 300 <= status < 400:
        return Failure(
            "stop",
            f"{host} sends to another address ({status}), which is not followed; set base_url= to that. {said}",
        )
    if status == 401:
        return Failure("stop", f"{host} refused the key (401); set OPENAI_API_KEY to a valid one. {said}")
    if status == 403:
        return Failure("stop", f"{host} does not let this key use {asked.model!r} (403). {said}")
    if re.search("response_format|json_schema|json schema|guided|structured output", words, re.IGNORECASE):
        return Failure("simpler", f"{host} does not take the answer format ({status}). {said}")
    if status == 404:
        advice = "or base_url= lacks its ending, usually /v1"
        return Failure("stop", f"{host} knows no model {asked.model!r} (404), {advice}. {said}")
    if code == "insufficient_quota":
        return Failure("stop", f"the account at {host} has no quota left; see its billing page. {said}")
    if code == "context_length_exceeded" or status == 413:
        return Failure("stop", f"the prompt is too long for {asked.model!r}; pass fewer base classes. {said}")
    if status < 500 and "temperature" in words.lower():
        return Failure("without temperature", f"{host} rejected temperature= ({status}). {said}")
    if status == 429:
        return Failure(
            "again", f"{host} asks to slow down (429); call again later. {said}", _retry_after(error)
        )
    if status in (408, 409) or (status >= 500 and status != 501):
        trouble = f"{host} has trouble ({status}); call again later. {said}"
        return Failure("again", trouble, _retry_after(error))
    return Failure("simpler", f"{host} rejected the request ({status}). {said}")


def too_late(asked: Asked) -> Failure:
    """The server is silent, or sends an error without end."""
    return Failure("again", f"{asked.host} did not answer within {asked.timeout:g} s; raise timeout=")


def no_answer(error: BaseException, asked: Asked) -> Failure:
    """The connection failed, broke, or stayed silent too long."""
    name = type(error).__name__
    if "Timeout" in name:
        return too_late(asked)
    return Failure(
        "again",
        f"no connection to {asked.host} ({asked.short(f'{name}: {error}')}). Is the server running and "
        "base_url= right? In slim containers and behind company proxies, set SSL_CERT_FILE to the trusted "
        "certificates",
    )


def _said(error: Any) -> str:
    """The server's own words, without the JSON around them."""
    body = error.body
    return (
        str(cast("dict[str, Any]", body).get("message") or body)
        if isinstance(body, dict)
        else str(error.message)
    )


def _retry_after(error: Any) -> float | None:
    """The seconds in the header retry-after-ms, or in Retry-After, which holds a number or a date."""
    headers = error.response.headers
    value = str(headers.get("retry-after") or "")
    try:
        seconds = float(headers["retry-after-ms"]) / 1000 if headers.get("retry-after-ms") else float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError, OSError, TypeError):
            return None
    return max(0.0, seconds) if seconds == seconds else None  # NaN is not a time
