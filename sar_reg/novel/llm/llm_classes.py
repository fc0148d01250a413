"""Novel classes named by a language model behind an OpenAI-compatible server."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sar_reg.checks import real_number, whole_number
from sar_reg.errors import InputError, counted
from sar_reg.files import content_key, file_path
from sar_reg.novel.cleaning import Cleaned, Filtering, check_filtering
from sar_reg.novel.llm.asking import Preview, Task, estimate, fill
from sar_reg.novel.llm.client import check_base_url, chosen_url, hide_secrets, open_client, public_url
from sar_reg.novel.llm.conversation import ChatError, Conversation, NoMoreNamesError
from sar_reg.novel.llm.journal import Journal
from sar_reg.novel.llm.prompt import class_prompt
from sar_reg.novel.source import NovelClassesError, NovelNames, with_outcome

log = logging.getLogger(__name__)

_OPENAI = "https://api.openai.com/v1"


@dataclass(eq=False)
class LLMClasses:
    """Novel classes from a language model, asked in batches until there are enough.

    Each request lists the names so far and asks for the missing number. When the model only repeats names, the call
    ends with an error that counts what was dropped. The answer format is a JSON schema; if the server does not take
    it, JSON mode, then a plain list. The key comes from the environment (`OPENAI_API_KEY`) or from `client`; it is
    not kept, shown or written.

    A model returns different names at each call. To repeat a run, keep the list of names: in the cache, or in a
    file written by `python -m sar_reg novel`. `seed` only distinguishes lists made with the same settings.

    Attributes:
        model: the model's name at the server; the paper used ChatGPT-4o.
        base_url: a server such as `http://localhost:8000/v1`; `OPENAI_BASE_URL` or OpenAI's by default.
        client: an `openai.OpenAI` of your own, instead of `base_url`.
        domain: one line on what the data set shows, such as "breeds of cats and dogs".
        batch_size: names asked for at a time.
        temperature: sent to the server if it is not `None`.
        filtering: as in `clean_names`.
        timeout: seconds for one answer.
        max_requests: bound on all requests of a call, repeats included; by default 4 a batch and 8 more.
        allow_fewer: return what there is, with a warning in the log, when the model has no more.
        cache_dir: where answers are kept, so that a second call continues from there.
        offline: do not use the network, only answers in `cache_dir`.
        progress: called with (usable names, names wanted) after each answer.
        sleep: how to wait before a repeat.

    Raises:
        InputError: for values out of range.
    """

    model: str = "gpt-4o"
    base_url: str | None = field(default=None, repr=False)
    client: Any = field(default=None, repr=False)
    domain: str | None = None
    batch_size: int = 50
    temperature: float | None = None
    filtering: Filtering = "strict"
    timeout: float = 60.0
    max_requests: int | None = None
    allow_fewer: bool = False
    cache_dir: str | os.PathLike[str] | None = None
    offline: bool = False
    progress: Callable[[int, int], None] | None = field(default=None, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    _journals: dict[str, Journal] = field(default_factory=dict[str, Journal], init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("model", "domain", "base_url"):
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name == "model"):
                raise InputError(f"{name} must be a string, not {value!r}")
        whole_number(self.batch_size, "batch_size", least=1)
        if self.max_requests is not None:
            whole_number(self.max_requests, "max_requests", least=1)
        real_number(self.timeout, "timeout", least=1e-3, otherwise=" seconds")
        if self.temperature is not None:
            real_number(self.temperature, "temperature", least=0, otherwise=", or None")
        check_filtering(self.filtering)
        if self.base_url is not None:
            self.base_url = check_base_url(self.base_url)

    def with_cache(self, cache_dir: str | os.PathLike[str] | None, *, offline: bool = False) -> LLMClasses:
        """The same source keeping its answers in `cache_dir`, unless it has its own folder."""
        return replace(self, cache_dir=self.cache_dir or cache_dir, offline=self.offline or offline)

    def generate(
        self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str] = (), seed: int = 0
    ) -> NovelNames:
        """Ask for `n` names; see the class.

        Raises:
            NovelClassesError: if the server fails for good or the model stops naming new classes. The error
                carries the names received, which the next call will not ask for again.
            InputError: if there is no key, `domain` contains an excluded name, or `cache_dir` is unusable.
            MissingExtraError: without the package `openai`.
        """
        task = self._task(base_classes, n, exclude)
        journal = self._journal(task, seed)
        problem, requests = None, 0
        if len(task.clean(journal).names) < n:
            if self.offline:
                problem = ChatError("offline=True forbids asking for more; call once without it")
            else:
                problem, requests = self._ask(journal, task, n)
        cleaned = task.clean(journal)
        names = cleaned.names[:n]
        if problem is not None:
            self._fall_short(problem, n, names, cleaned, journal)
        account = {**journal.account(), "requests": requests}
        return with_outcome(names, n, cleaned.counts(), self.describe(), **account)

    def preview(
        self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str] = (), seed: int = 0
    ) -> Preview:
        """The prompt, an estimate of tokens and the cache key of what `generate` would do. Sends nothing."""
        task = self._task(base_classes, n, exclude)
        names = task.clean(self._journal(task, seed)).names
        return estimate(task, names, n, batch_size=self.batch_size, cache_key=self._key(task, seed))

    def describe(self) -> dict[str, Any]:
        """Model, server, domain, options and a hash of the prompt's wording."""
        url = getattr(self.client, "base_url", None) or chosen_url(self.base_url)
        wording = "\n".join(class_prompt([], ["…"], 0, domain="…", form=form) for form in ("schema", "list"))
        return {
            "source": "llm",
            "model": self.model,
            "server": public_url(url or _OPENAI),
            "domain": self.domain,
            "batch_size": self.batch_size,
            "temperature": self.temperature,
            "filtering": self.filtering,
            "prompt_sha256": hashlib.sha256(wording.encode()).hexdigest(),
        }

    def _task(self, base_classes: Sequence[str], n: int, exclude: Sequence[str]) -> Task:
        whole_number(n, "n", least=1)
        return Task(base_classes, exclude, self.domain, self.filtering)

    def _key(self, task: Task, seed: int) -> str:
        return content_key(
            source=self.describe(),
            base=list(task.base_classes),
            exclude=sorted(task.exclude),
            seed=whole_number(seed, "seed"),
        )

    def _journal(self, task: Task, seed: int) -> Journal:
        key = self._key(task, seed)
        if self.cache_dir is not None:
            return Journal(file_path(self.cache_dir) / f"answers-{key}")
        return self._journals.setdefault(key, Journal(None))

    def _ask(self, journal: Journal, task: Task, n: int) -> tuple[ChatError | None, int]:
        """Ask for what is missing; returns why some of it still is, and the number of requests."""
        bound = self.max_requests or 4 * math.ceil(n / self.batch_size) + 8
        problem = None
        with open_client(self.client, self.base_url) as client:
            journal.open_folder()
            talk = Conversation(client, self.model, self.timeout, bound, self.temperature, self.sleep)
            try:
                fill(journal, task, talk, n, batch_size=self.batch_size, progress=self.progress)
            except ChatError as error:
                problem = error
            except Exception as error:  # of progress= or sleep=; the names must not be lost with it
                what = hide_secrets(f"{type(error).__name__}: {error}", client)
                problem = ChatError(f"the call was interrupted by {what}")
        return problem, talk.requests

    def _fall_short(
        self, problem: ChatError, n: int, names: list[str], cleaned: Cleaned, journal: Journal
    ) -> None:
        dropped = cleaned.counts() or "none"
        message = f"{self.model} returned {len(names)} of {counted(n, 'novel class')} (dropped: {dropped}): {problem}"
        if self.allow_fewer and isinstance(problem, NoMoreNamesError) and names:
            log.warning("%s. Continuing with fewer, because of allow_fewer=True.", message)
            return
        place = journal.folder or "this object"
        advice = f"what was received is kept in {place}, so the same call again asks only for the rest"
        raise NovelClassesError(message, names, advice)
