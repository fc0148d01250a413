"""Published numbers: the paper's tables, and what the methods' own papers report."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "published"

Key = tuple[str, str, str, str, str]
"""Table, data set, method, variant, metric."""


@cache
def paper() -> dict[Key, float]:
    """Every number of the paper's five tables; averages stand under the data set `average`."""
    return {
        (
            row["table"],
            "average" if row["dataset"].startswith("average") else row["dataset"],
            row["method"],
            row["variant"],
            row["metric"],
        ): float(row["value"])
        for row in _rows("paper.csv")
    }


@cache
def methods() -> dict[tuple[str, int, str], float]:
    """(method, shots, metric) → average over the eleven data sets, as published for the method itself."""
    return {
        (row["method"], int(row["shots"]), metric): float(row[metric])
        for row in _rows("methods.csv")
        for metric in ("base", "new", "h")
    }


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
