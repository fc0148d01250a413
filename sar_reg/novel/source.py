"""What a source of novel classes is, and the error for one that could not give enough."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from sar_reg.errors import SarRegError


@runtime_checkable
class NovelSource(Protocol):
    """Anything that can name novel classes; pass one as `novel=` of `sar_reg.build_anchor_bank`."""

    def generate(
        self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str], seed: int
    ) -> list[str]:
        """Return `n` class names, none of them in `base_classes` or `exclude`.

        Raises:
            NovelClassesError: if there are fewer; it carries those that were found.
        """
        ...


@runtime_checkable
class DescribedSource(NovelSource, Protocol):
    """A source that says what its names depend on, so that they can be kept in a cache and in records."""

    def describe(self) -> dict[str, Any]:
        """Source, model, strategy and options, as JSON values without secrets.

        What the last `generate` met (date, how many were asked, kept and dropped and why) goes under the key
        `"outcome"`; everything else must be the same before and after, since a cache is keyed by it.
        """
        ...


@runtime_checkable
class ResumableSource(DescribedSource, Protocol):
    """A source that asks others, keeps what it received, and can be told to stay off the network."""

    def with_cache(
        self, cache_dir: str | os.PathLike[str] | None, *, offline: bool = False
    ) -> ResumableSource:
        """The same source with a folder for what it receives."""
        ...

    def preview(self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str], seed: int) -> object:
        """What `generate` would send, as something to print. Calls nobody."""
        ...


class NovelClassesError(SarRegError):
    """A source could not give the names asked for; `names` holds those it did find, cleaned."""

    def __init__(self, message: str, names: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.names = list(names)


def preview(
    source: NovelSource, base_classes: Sequence[str], n: int, *, exclude: Sequence[str], seed: int
) -> str:
    """What a source would ask of others, in words, without asking."""
    if isinstance(source, ResumableSource):
        return str(source.preview(base_classes, n, exclude=exclude, seed=seed))
    return f"{source!r} asks nobody"


def outcome(asked: int, kept: int, dropped: dict[str, int], **more: Any) -> dict[str, Any]:
    """The account of one `generate`, in the form every source puts under `describe()["outcome"]`."""
    return {"asked": asked, "kept": kept, "dropped": dropped, **more}
