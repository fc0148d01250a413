"""A bounded exchange with a chat server: repeat what may pass, take simpler answer formats, then give up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sar_reg.errors import SarRegError
from sar_reg.novel.llm.chat import Answer, ask
from sar_reg.novel.llm.deadline import within
from sar_reg.novel.llm.failure import Asked, Failure, too_late
from sar_reg.novel.llm.prompt import AnswerFormat
from sar_reg.novel.llm.redaction import hide_secrets, public_url

log = logging.getLogger(__name__)

FORMS: tuple[AnswerFormat, ...] = ("schema", "json", "list")
_REPEATS = 4
_LONGEST_WAIT = 120.0


class ChatError(SarRegError):
    """The exchange cannot go on; the message says why and what to do."""


@dataclass
class Conversation:
    """Asks one model, counting every request.

    Attributes:
        client: as `open_client` gives it.
        model: its name at the server.
        timeout: seconds for one answer.
        max_requests: how many requests are sent at most, repeats included.
        temperature: sent if given.
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

    def simpler(self) -> None:
        """Take the next simpler answer format, if there is one."""
        self._form = min(self._form + 1, len(FORMS) - 1)

    def ask(self, prompt: Callable[[AnswerFormat], str]) -> Answer:
        """One answer, after as many repeats as it takes within the bounds.

        Raises:
            ChatError: if the server refuses for good, keeps failing, or the requests are used up.
        """
        repeats = 0
        while True:
            if self.requests >= self.max_requests:
                raise ChatError(
                    f"all {self.max_requests} requests are used up; raise max_requests= or call again"
                )
            self.requests += 1
            result = self._ask_once(prompt(self.form))
            if isinstance(result, Answer):
                return result
            log.info("request %d failed: %s", self.requests, result.message)
            if result.remedy == "without temperature" and self.temperature is not None:
                log.warning(
                    "%s does not take temperature=%s; going on without it", self.model, self.temperature
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

    def _ask_once(self, prompt: str) -> Answer | Failure:
        host, form = public_url(self.client.base_url), self.form
        asked = Asked(host, self.model, self.timeout, hide=lambda text: hide_secrets(text, self.client))
        return within(
            2 * self.timeout,
            lambda: ask(self.client, asked, prompt, form, self.temperature),
            late=too_late(asked),
        )
