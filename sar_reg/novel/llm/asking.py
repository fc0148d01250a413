"""Asking a model for class names until there are enough, or until it has no more."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sar_reg.class_names import fold, name_tuple
from sar_reg.errors import InputError, counted
from sar_reg.novel.cleaning import Cleaned, Filtering, clean_names
from sar_reg.novel.llm.conversation import Conversation, NoMoreNamesError
from sar_reg.novel.llm.journal import Answer, Journal
from sar_reg.novel.llm.prompt import AnswerFormat, class_prompt
from sar_reg.novel.same_name import words

log = logging.getLogger(__name__)

_PATIENCE = 3
_SMALLEST_BATCH = 5
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Task:
    """What names are wanted for.

    Attributes:
        base_classes: the classes that the new ones must suit.
        exclude: names that are dropped from answers and never enter a prompt.
        domain: one line on what the data set shows.
        filtering: as in `clean_names`.

    Raises:
        InputError: if there are no base classes, or `domain` contains an excluded name.
    """

    base_classes: Sequence[str]
    exclude: Sequence[str]
    domain: str | None
    filtering: Filtering

    def __post_init__(self) -> None:
        if not name_tuple(self.base_classes, "base_classes"):
            raise InputError("base_classes must hold at least one class name")
        name_tuple(self.exclude, "exclude", ordered=False)
        if self.domain and (name := self._excluded_in(self.domain)):
            raise InputError(
                f"domain= contains the excluded name {name!r}, which must not enter a prompt; reword it"
            )

    def clean(self, journal: Journal) -> Cleaned:
        """The usable ones of the names received, and those dropped."""
        received = journal.names(self.known)
        return clean_names(received, base=self.base_classes, exclude=self.exclude, filtering=self.filtering)

    def prompt(self, named: Sequence[str], count: int, form: AnswerFormat) -> str:
        """The text that asks for `count` names beyond those named already.

        A name that contains an excluded one ("pug cross" where "pug" is a new class) is not repeated to the model.
        """
        repeated = [name for name in named if not self._excluded_in(name)]
        return class_prompt(self.base_classes, repeated, count, domain=self.domain, form=form)

    @cached_property
    def known(self) -> frozenset[str]:
        """Base and excluded names, folded; an answer that repeats them is an echo."""
        return frozenset(map(fold, (*self.base_classes, *self.exclude)))

    @cached_property
    def _phrases(self) -> dict[str, str]:
        return {_phrase(name): name for name in self.exclude}

    def _excluded_in(self, text: str) -> str | None:
        said = _phrase(text)
        return next((name for phrase, name in self._phrases.items() if phrase in said), None)


def _phrase(text: str) -> str:
    return f" {' '.join(words(text))} "


def fill(
    journal: Journal,
    task: Task,
    talk: Conversation,
    n: int,
    *,
    batch_size: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Ask until the journal holds `n` usable names.

    Raises:
        ChatError: if the server fails for good.
        NoMoreNamesError: if the model has no more names.
    """
    names = task.clean(journal).names
    barren = 0
    while len(names) < n:
        count = min(batch_size, n - len(names))
        answer = talk.ask(lambda form, names=names, count=count: task.prompt(names, count, form))
        journal.add(answer)
        before, names = len(names), task.clean(journal).names
        log.info("request %d: %d of %d names, %d new", talk.requests, len(names), n, len(names) - before)
        if progress:
            progress(min(n, len(names)), n)
        if not answer.names(task.known):
            talk.simpler()
        if answer.finish == "length":
            batch_size = max(_SMALLEST_BATCH, batch_size // 2)
        barren = 0 if len(names) > before else barren + 1
        if barren == _PATIENCE:
            raise NoMoreNamesError(_why_barren(answer))


def _why_barren(last: Answer) -> str:
    if last.refusal:
        return f"it refuses ({last.refusal!r}); describe what the data set shows with domain=, or use another model"
    if last.finish == "content_filter":
        return "the server's content filter holds the answers back; take another model or reword domain="
    if last.finish == "length" and not last.reply:
        return (
            "its answers are cut off before the first name, as happens to models that reason at length; raise the "
            "server's limit of tokens, or take another model"
        )
    if not last.names():
        return (
            f"its last {_PATIENCE} answers held no names (the last one began {last.reply[:80]!r}); "
            "check the model, or take another"
        )
    return (
        f"it stopped naming new classes, its last {_PATIENCE} answers added none; describe the data set with "
        "domain=, raise temperature=, take another model, ask for fewer, or pass allow_fewer=True"
    )


@dataclass(frozen=True)
class Preview:
    """What a call would send.

    Attributes:
        prompt: the text of the next request; empty if none is needed.
        requests: how many requests it takes if every answer is good.
        tokens_in: estimate of the tokens sent by all of them (four characters each).
        tokens_out: estimate of the tokens received.
        cache_key: names the folder of the cache in which the answers are kept.
        received: how many usable names are there already.
    """

    prompt: str
    requests: int
    tokens_in: int
    tokens_out: int
    cache_key: str
    received: int

    def __str__(self) -> str:
        return (
            f"{self.prompt}\n\n"
            f"requests:  {self.requests} if every answer is good; nothing was sent\n"
            f"tokens:    about {self.tokens_in} in, {self.tokens_out} out\n"
            f"received:  {counted(self.received, 'name')} before this call\n"
            f"cache key: {self.cache_key}"
        )


def estimate(task: Task, names: Sequence[str], n: int, *, batch_size: int, cache_key: str) -> Preview:
    """Count what is missing to `n` names and what asking for it takes; later prompts repeat earlier names."""
    missing = max(0, n - len(names))
    requests = math.ceil(missing / batch_size)
    prompt = task.prompt(names, min(missing, batch_size), "schema") if missing else ""
    per_name = 2 + sum(map(len, task.base_classes)) / len(task.base_classes) / _CHARACTERS_PER_TOKEN
    repeated = per_name * batch_size * requests * (requests - 1) / 2
    return Preview(
        prompt=prompt,
        requests=requests,
        tokens_in=math.ceil(requests * len(prompt) / _CHARACTERS_PER_TOKEN + repeated),
        tokens_out=math.ceil((per_name + 2) * missing),
        cache_key=cache_key,
        received=len(names),
    )
