"""The upper reference of the paper's figure 5: the data set's own new classes as novel classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sar_reg.class_names import name_tuple
from sar_reg.errors import InputError, counted
from sar_reg.novel.cleaning import clean_names
from sar_reg.novel.source import NovelNames, with_outcome


class Oracle:
    """Uses the names of the classes that a benchmark tests on: an upper reference, not a fair result.

    It returns all its names regardless of `n` (in the paper fewer than 100 on average) and marks everything made
    with it: `describe()["looks_at_test_classes"]` is true.

    Args:
        new_classes: the data set's new class names.

    Raises:
        InputError: if there are none, or it is not a list of names.
    """

    def __init__(self, new_classes: Sequence[str]) -> None:
        self.new_classes = name_tuple(new_classes, "new_classes")
        if not self.new_classes:
            raise InputError("the oracle needs the data set's new class names, but got none")

    def __repr__(self) -> str:
        return f"Oracle({counted(len(self.new_classes), 'new class')})"

    def generate(
        self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str] = (), seed: int = 0
    ) -> NovelNames:
        """All new classes, in their order.

        Raises:
            InputError: if some of them are in `exclude`, which contradicts using them.
        """
        cleaned = clean_names(self.new_classes, base=base_classes, exclude=exclude, filtering="exact")
        if forbidden := cleaned.dropped.get("excluded"):
            raise InputError(
                f"the oracle was asked to use new classes that exclude= forbids ({forbidden[0]!r} and "
                f"{len(forbidden) - 1} more); call it with exclude=() and report it as an upper reference"
            )
        return with_outcome(cleaned.names, n, cleaned.counts(), self.describe())

    def describe(self) -> dict[str, Any]:
        """Marks the bank and every record made from it."""
        names = list(self.new_classes)
        return {"source": "oracle", "looks_at_test_classes": True, "names": names}
