"""Which novel class names a run uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from examples.protocol.runs.config import RunSource
from sar_reg.class_names import fold
from sar_reg.errors import InputError, did_you_mean
from sar_reg.novel import NovelClassesError, NovelNames, NovelSource, Oracle, WordList, read_names

KINDS = ("related", "random", "list", "llm", "oracle")
LISTS = Path(__file__).parents[1] / "data" / "novel"


def check_novel(kind: str) -> None:
    """Refuse novel names that are neither one of `KINDS` nor a file.

    Raises:
        InputError: naming the kinds.
    """
    if kind and kind not in KINDS and not Path(kind).exists():
        raise InputError(
            f"--novel takes {', '.join(KINDS)} or a file of names, and there is no file {kind}"
            f"{did_you_mean(kind, KINDS)}"
        )


def novel_source(source: RunSource, held_out: Sequence[str]) -> NovelSource:
    """Turn `source.novel` into a source of names.

    A list that was made for the data set comes before a fresh draw: runs then use what is in the repository.

    Args:
        source: where the run's words come from, by kind or as a file.
        held_out: the classes that are tested but not trained on, for the oracle alone.
    """
    if source.final and held_out:
        return _ExpectedFirst(held_out, novel_source(replace(source, expected=""), ()))
    kind = source.novel or "related"
    if kind == "oracle":
        return Oracle(held_out)
    if kind == "list":
        from examples import testbed

        return WordList(testbed.words())
    if kind == "llm":
        made = llm_list(source.dataset)
        if not made.is_file():
            raise InputError(
                f"there is no list of a language model for {source.dataset} at {made}; make one with "
                "python -m sar_reg novel --novel llm, as described in docs/choosing-words.md"
            )
        return WordList(made, allow_fewer=True)
    if kind in ("related", "random"):
        made = LISTS / f"{source.dataset}.wordnet-{kind}.json"
        if made.is_file():
            return WordList(made)
        from sar_reg.novel import WordNetClasses

        return WordNetClasses(kind)
    check_novel(kind)
    return WordList(kind, allow_fewer=True)


def in_options_of_the_command(error: NovelClassesError) -> InputError:
    """The error of a source with advice in options of the methods' commands instead of Python's arguments."""
    fewer = f"--n-novel {len(error.names)}" if error.names else "no SAR (--no-sar)"
    return InputError(f"{error.fact}; pass {fewer}, or other names with --novel FILE")


def expected_names(source: RunSource, trained: Sequence[str]) -> tuple[str, ...]:
    """The names of `source.expected` that are not trained on."""
    if not source.expected:
        return ()
    known = {fold(name) for name in trained}
    return tuple(name for name in read_names(source.expected) if fold(name) not in known)


@dataclass(frozen=True)
class _ExpectedFirst:
    """A source that returns the expected classes first, and then names of another source."""

    expected: Sequence[str]
    rest: NovelSource

    def generate(
        self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str], seed: int
    ) -> NovelNames:
        first = list(self.expected[:n])
        more = n - len(first)
        if not more:
            return NovelNames(tuple(first), {"source": "expected classes"})
        known = [*base_classes, *first]
        try:
            others = self.rest.generate(base_classes, more, exclude=[*exclude, *first], seed=seed)
        except NovelClassesError as error:
            if error.names or not first:
                raise
            others = ()  # all of the file's names are among those to come
        about = dict(others.provenance) if isinstance(others, NovelNames) else {}
        names = [name for name in others if fold(name) not in {fold(other) for other in known}]
        return NovelNames((*first, *names), {**about, "expected": first})


def llm_list(dataset: str) -> Path:
    """Where a list that a language model made for a data set is kept; none is shipped."""
    return LISTS / f"{dataset}.llm.json"
