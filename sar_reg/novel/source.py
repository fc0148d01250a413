"""What a source of novel classes is, what it returns, and the error when it has too few names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload, runtime_checkable

from sar_reg.errors import SarRegError


@dataclass(frozen=True, eq=False)
class NovelNames(Sequence[str]):
    """Novel class names and where they came from; equal to any sequence with the same names.

    Attributes:
        names: the class names, in the order of the source.
        provenance: JSON values without secrets: the source's settings and, under `"outcome"`, how many names
            were asked for, kept and dropped.

    Examples:
        >>> found = NovelNames(("lynx", "puma"), {"source": "my list"})
        >>> found[0], len(found), found == ["lynx", "puma"]
        ('lynx', 2, True)
    """

    names: tuple[str, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        return list(self.names[index]) if isinstance(index, slice) else self.names[index]

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, str) and self.names == tuple(other)

    def __str__(self) -> str:
        return str(list(self.names))

    def __hash__(self) -> int:
        return hash(self.names)


@runtime_checkable
class NovelSource(Protocol):
    """Anything that can name novel classes; pass one as `novel=` of `sar_reg.build_anchor_bank`."""

    def generate(
        self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str], seed: int
    ) -> Sequence[str]:
        """Return `n` class names, none of them in `base_classes` or `exclude`.

        Returns:
            A sequence of strings; a `NovelNames` also contains where they came from.

        Raises:
            NovelClassesError: if there are fewer; it carries those that were found.
        """
        ...


@runtime_checkable
class DescribedSource(NovelSource, Protocol):
    """A source that can state its settings, so that its names can be cached."""

    def describe(self) -> dict[str, Any]:
        """Source, model, strategy and options, as JSON values without secrets: the key of the cache."""
        ...


@runtime_checkable
class ResumableSource(DescribedSource, Protocol):
    """A source that sends requests, keeps the replies, and can work from them without the network."""

    def with_cache(
        self, cache_dir: str | os.PathLike[str] | None, *, offline: bool = False
    ) -> ResumableSource:
        """The same source with a folder for the replies."""
        ...

    def preview(self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str], seed: int) -> object:
        """What `generate` would send, with a readable `str`. Sends nothing."""
        ...


class NovelClassesError(SarRegError):
    """A source could not return the requested names.

    Attributes:
        names: those it did find, cleaned.
        fact: how many were found, and why not more.
        advice: what to do, in terms of the source's arguments; a command may show other advice.
    """

    def __init__(self, fact: str, names: Sequence[str] = (), advice: str = "") -> None:
        super().__init__(f"{fact}; {advice}" if advice else fact)
        self.names, self.fact, self.advice = list(names), fact, advice


def with_outcome(
    names: Sequence[str], asked: int, dropped: dict[str, int], about: dict[str, Any], **more: Any
) -> NovelNames:
    """The answer of a source: names, its description, and the account of this call under `"outcome"`."""
    account = {"asked": asked, "kept": len(names), "dropped": dropped, **more}
    return NovelNames(tuple(names), {**about, "outcome": account})
