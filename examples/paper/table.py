"""A table as text: Markdown for people, CSV for programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sar_reg.files import write_atomic

NOT_RUN = "*not run*"


@dataclass(frozen=True)
class Table:
    """Rows for people, and the same numbers one by one.

    Attributes:
        name: file name without ending.
        title: what it shows.
        notes: sentences below the table.
        columns: headings.
        rows: cells as text.
        numbers: one mapping a number, all with the same keys.
    """

    name: str
    title: str
    notes: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[dict[str, object]]

    def markdown(self) -> str:
        """The table in Markdown, columns padded so that it reads well as plain text."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        lines = [
            _line(self.columns, widths),
            "|" + "|".join("-" * (width + 2) for width in widths) + "|",
            *(_line(row, widths) for row in self.rows),
        ]
        notes = "".join(f"\n{note}\n" for note in self.notes)
        return f"### {self.title}\n\n" + "\n".join(lines) + f"\n{notes}"

    def csv(self) -> str:
        """One line a number."""
        stream = io.StringIO()
        writer = csv.DictWriter(
            stream, list(self.numbers[0]) if self.numbers else ["empty"], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(self.numbers)
        return stream.getvalue()

    def write(self, folder: Path) -> list[Path]:
        """Write `NAME.md` and `NAME.csv`."""
        return [
            write_atomic(folder / f"{self.name}.md", self.markdown()),
            write_atomic(folder / f"{self.name}.csv", self.csv()),
        ]


def number(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """A number, or *not run*."""
    return NOT_RUN if value is None else f"{value:{'+' if sign else ''}.{digits}f}"


def with_spread(value: float | None, spread: float | None) -> str:
    """`mean ± std`, without the latter where there is one seed only."""
    return number(value) if value is None or spread is None else f"{value:.2f} ± {spread:.2f}"


def paired_text(pair: tuple[float, float] | None) -> str:
    """`±difference ± std over seeds`; the difference alone for one seed, nothing for none."""
    if pair is None:
        return ""
    return f"{pair[0]:+.2f}" if math.isnan(pair[1]) else f"{pair[0]:+.2f} ± {pair[1]:.2f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
