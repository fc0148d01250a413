"""Asking a model for class names until there are enough, or until it has no more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sar_reg.class_names import fold, name_tuple
from sar_reg.errors import InputError
from sar_reg.novel.cleaning import Cleaned, Filtering, clean_names
from sar_reg.novel.llm.chat import Answer
from sar_reg.novel.llm.conversation import ChatError, Conversation
from sar_reg.novel.llm.journal import Entry, Journal, utc_now
from sar_reg.novel.llm.prompt import AnswerFormat, class_prompt
from sar_reg.novel.same_name import words

log = logging.getLogger(__name__)

_PATIENCE = 3
_SMALLEST_BATCH = 5


@dataclass(frozen=True)
class Shortage:
    """Why there are fewer names than wanted, and what to do; `exhausted` if the model has no more."""

    message: str
    exhausted: bool


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

    def clean(self, received: Sequence[str]) -> Cleaned:
        """The usable ones of the names received, and those dropped."""
        return clean_names(received, base=self.base_classes, exclude=self.exclude, filtering=self.filtering)

    def prompt(self, known: Sequence[str], count: int, form: AnswerFormat) -> str:
        """The text that asks for `count` names beyond those known.

        A known name that contains an excluded one ("pug cross" where "pug" is held out) is not repeated to the
        model.
        """
        told = [name for name in known if not self._excluded_in(name)]
        return class_prompt(self.base_classes, told, count, domain=self.domain, form=form)

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
) -> Shortage | None:
    """Ask until the journal holds `n` usable names.

    Returns:
        `None` if it does, otherwise why it cannot.
    """
    known = task.clean(journal.names(task.known)).names
    barren = 0
    while len(known) < n:
        count = min(batch_size, n - len(known))
        try:
            answer = talk.ask(lambda form, known=known, count=count: task.prompt(known, count, form))
        except ChatError as error:
            return Shortage(str(error), exhausted=False)
        entry = _entry(answer, talk.form, task.prompt(known, count, talk.form))
        journal.add(entry)
        before, known = len(known), task.clean(journal.names(task.known)).names
        log.info("request %d: %d of %d names, %d new", talk.requests, len(known), n, len(known) - before)
        if progress:
            progress(min(n, len(known)), n)
        if not entry.names(task.known):
            talk.simpler()
        if answer.finish == "length":
            batch_size = max(_SMALLEST_BATCH, batch_size // 2)
        barren = 0 if len(known) > before else barren + 1
        if barren == _PATIENCE:
            return Shortage(_why_barren(entry), exhausted=True)
    return None


def _entry(answer: Answer, form: AnswerFormat, prompt: str) -> Entry:
    return Entry(
        time=utc_now(),
        model=answer.model,
        system_fingerprint=answer.system_fingerprint,
        form=form,
        prompt=prompt,
        reply=answer.text,
        refusal=answer.refusal,
        finish=answer.finish,
    )


def _why_barren(last: Entry) -> str:
    if last.refusal:
        return (
            f"it refuses ({last.refusal!r}); say what the data set shows with domain= (--domain), "
            "or take another model"
        )
    if last.finish == "content_filter":
        return "the server's content filter holds the answers back; take another model or reword domain= (--domain)"
    if not last.names():
        return (
            f"its last {_PATIENCE} answers held no names (the last one began {last.reply[:80]!r}); "
            "check the model, or take another"
        )
    return (
        f"it stopped naming new classes, its last {_PATIENCE} answers added none; describe the data set with "
        "domain=, raise temperature=, take another model, ask for fewer, or pass allow_fewer=True"
    )
