"""What a source of novel classes is, and the error for one that could not give enough."""

from __future__ import annotations

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

    def describe(self) -> dict[str, Any]:
        """What the names depend on, as JSON values without secrets: source, model, strategy, options.

        What the last `generate` met (date, how many were asked, kept and dropped and why) goes under the key
        `"outcome"`; everything else must be the same before and after, since a cache is keyed by it.
        """
        ...


class NovelClassesError(SarRegError):
    """A source could not give the names asked for; `names` holds those it did find, cleaned."""

    def __init__(self, message: str, names: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.names = list(names)


def outcome(asked: int, kept: int, dropped: dict[str, int], **more: Any) -> dict[str, Any]:
    """The account of one `generate`, in the form every source puts under `describe()["outcome"]`."""
    return {"asked": asked, "kept": kept, "dropped": dropped, **more}
