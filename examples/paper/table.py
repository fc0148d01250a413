"""A table built from columns, as text: Markdown for people, CSV for programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from sar_reg.files import write_atomic

NOT_RUN = "*not run*"
Row = TypeVar("Row")
Numbers = dict[str, object]
"""One number of a table with what it belongs to, a line of the CSV file."""


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of a table.

    Attributes:
        heading: as printed.
        cell: the text of a row.
        note: a sentence below the table.
    """

    heading: str
    cell: Callable[[Row], str]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of text, and the same numbers one by one.

    Attributes:
        name: file name without ending.
        title: what it shows.
        notes: sentences below the table.
        columns: headings.
        rows: cells as text.
        numbers: one mapping per number, all with the same keys.
    """

    name: str
    title: str
    notes: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[Numbers]

    @classmethod
    def of(
        cls,
        name: str,
        title: str,
        columns: Sequence[Column[Row]],
        rows: Sequence[Row],
        numbers: Callable[[Row], Sequence[Numbers]],
        notes: Sequence[str] = (),
    ) -> Table:
        """Build a table from its columns; their notes come after `notes`.

        Args:
            name: file name without ending.
            title: what it shows.
            columns: from left to right.
            rows: what the columns read.
            numbers: the numbers of a row.
            notes: sentences below the table.
        """
        return cls(
            name,
            title,
            [*notes, *(column.note for column in columns if column.note)],
            [column.heading for column in columns],
            [[column.cell(row) for column in columns] for row in rows],
            [entry for row in rows for entry in numbers(row)],
        )

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
        """One line per number."""
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
    """`mean ± std`, without the latter if there is only one seed."""
    return number(value) if value is None or spread is None else f"{value:.2f} ± {spread:.2f}"


def paired_text(pair: tuple[float, float] | None) -> str:
    """`±difference ± std over seeds`; the difference alone for one seed, nothing for none."""
    if pair is None:
        return ""
    return f"{pair[0]:+.2f}" if math.isnan(pair[1]) else f"{pair[0]:+.2f} ± {pair[1]:.2f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
