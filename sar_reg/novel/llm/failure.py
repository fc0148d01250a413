"""Why a chat server did not answer, and what to do: retry, use a simpler format, or stop."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, cast

Remedy = Literal["again", "simpler", "without temperature", "stop"]
_FORMAT = re.compile(r"response_format|json_schema|json schema|guided|structured output", re.IGNORECASE)


@dataclass(frozen=True)
class Failure:
    """A request without an answer.

    Attributes:
        remedy: "again" (it may pass), "simpler" (the server rejected the request; a simpler answer format
            may do), "without temperature" (it names that option) or "stop".
        message: what happened and what to do, without secrets.
        wait: seconds that the server asked to wait, if it did.
    """

    remedy: Remedy
    message: str
    wait: float | None = None


def from_status(error: Any, host: str, model: str, short: Callable[[str], str]) -> Failure:
    """Sort an `openai.APIStatusError` by its status and code; `short` takes secrets out of the server's words."""
    status, code = int(error.status_code), str(error.code or "")
    body: Any = error.body or error.message
    words = str((cast("dict[str, Any]", body).get("message") if isinstance(body, dict) else None) or body)
    passes = status in (408, 409, 429) or (status >= 500 and status != 501)
    cases: list[tuple[bool, Remedy, str]] = [
        (300 <= status < 400, "stop", f"{host} sends to another address ({status}), which is not followed; set "
         "base_url= to that"),
        (status == 401, "stop", f"{host} refused the key (401); set OPENAI_API_KEY to a valid one"),
        (status == 403, "stop", f"{host} does not let this key use {model!r} (403)"),
        (bool(_FORMAT.search(words)), "simpler", f"{host} does not take the answer format ({status})"),
        (status == 404, "stop", f"{host} knows no model {model!r} (404), or base_url= lacks its ending, usually /v1"),
        (code == "insufficient_quota", "stop", f"the account at {host} has no quota left; see its billing page"),
        (code == "context_length_exceeded" or status == 413, "stop",
         f"the prompt is too long for {model!r}; pass fewer base classes"),
        (status < 500 and "temperature" in words.lower(), "without temperature",
         f"{host} rejected temperature= ({status})"),
        (status == 429, "again", f"{host} asks to slow down (429); call again later"),
        (passes, "again", f"{host} has trouble ({status}); call again later"),
        (True, "simpler", f"{host} rejected the request ({status})"),
    ]  # fmt: skip
    remedy, message = next(case[1:] for case in cases if case[0])
    return Failure(remedy, f"{message}. Its message: {short(words)}", _retry_after(error.response.headers))


def _retry_after(headers: Any) -> float | None:
    """The seconds in the header retry-after-ms, or in Retry-After, which holds a number or a date."""
    milliseconds, value = headers.get("retry-after-ms"), str(headers.get("retry-after") or "")
    try:
        seconds = float(milliseconds) / 1000 if milliseconds else float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError, OSError, TypeError):
            return None
    return max(0.0, seconds) if seconds == seconds else None  # NaN is not a time
