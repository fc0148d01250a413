"""Base, New and H of run records as a small table, for the terminal and for a README."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.protocol.cli.errors import one_line_errors
from examples.protocol.evaluation import summary
from examples.protocol.runs.archive import read_records
from examples.protocol.runs.record import Record
from sar_reg.errors import InputError, did_you_mean
from sar_reg.files import write_atomic

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


HEADS = {"base": "Base", "new": "New", "h": "H"}
JOINT_HEADS = {"base": "base images", "new": "new images", "h": "H"}


@dataclass(frozen=True)
class ResultRow:
    """One line: a method on a data set over its seeds, in percent."""

    dataset: str
    title: str
    seeds: int
    values: dict[str, float]

    @property
    def columns(self) -> list[str]:
        """The names of the accuracies."""
        return [name for name in self.values if not name.endswith("_std")]

    def cell(self, name: str) -> str:
        """Mean ± standard deviation; the mean alone for a single run."""
        spread = self.values[f"{name}_std"]
        return f"{self.values[name]:.1f}" if math.isnan(spread) else f"{self.values[name]:.1f} ± {spread:.1f}"


def rows_of(records: Sequence[Record]) -> list[ResultRow]:
    """One row a data set and method: data sets by name, methods as they first appear.

    Raises:
        InputError: if the runs of a row are not one setting with different seeds.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        dataset = record["source"]["dataset"]
        name = dataset if record["source"]["split"] == "scene" else f"{dataset} ({record['source']['split']})"
        groups.setdefault((name, record["title"]), []).append(record)
    for (name, title), group in groups.items():
        _check_independent(f"{title} on {name}", group)
    ordered = sorted(groups.items(), key=lambda item: (item[0][0], _rank(item[0][1])))
    return [ResultRow(*key, len(group), summary([accuracies(r) for r in group])) for key, group in ordered]


def _check_independent(row: str, records: Sequence[Record]) -> None:
    first = _settings(records[0])
    others = [settings for record in records[1:] if (settings := _settings(record)) != first]
    if others:
        differing = ", ".join(
            sorted(name for name in first | others[0] if first.get(name) != others[0].get(name))
        )
        raise InputError(
            f"the runs of {row} differ in {differing}, so their mean is not one over seeds; put the runs of each "
            "setting in a folder of their own"
        )
    seeds = [record["seed"] for record in records]
    repeated = sorted({str(seed) for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        raise InputError(
            f"there are several runs of {row} with seed {', '.join(repeated)}, which would count as independent; keep "
            "one of them"
        )


def _settings(record: Record) -> dict[str, Any]:
    """What the runs of a row have in common; the data may lie in different folders."""
    source = {name: value for name, value in record["source"].items() if name != "data"}
    return {**source, **record["recipe"], "model": record["model"]}


def joint_rows_of(records: Sequence[Record]) -> list[ResultRow]:
    """As `rows_of`, of base and new images among the base and new classes in one list."""
    found = [record for record in records if record.get("joint")]
    return rows_of([{**record, "results": _joint(record)} for record in found])


def _joint(record: Record) -> dict[str, float]:
    """With the handcrafted prompts of zero-shot, or with a run's learned prompts for all classes."""
    joint: dict[str, dict[str, float]] = record["joint"]
    return joint["handcrafted" if record["method"] == "zero-shot" else "learned"]


def of_method(records: Sequence[Record], method: str) -> list[Record]:
    """The records of one method and those of zero-shot; all of them for an empty name.

    Raises:
        InputError: if there is no record of the method.
    """
    methods = sorted({record["method"] for record in records} - {"zero-shot"})
    folded = {name.casefold(): name for name in methods}
    if method and method.casefold() not in folded:
        known = f"{', '.join(methods)}{did_you_mean(method, methods)}"
        raise InputError(f"there are no runs of {method!r}; there are runs of: {known}")
    method = folded.get(method.casefold(), "")
    return [record for record in records if not method or record["method"] in (method, "zero-shot")]


def _rank(title: str) -> tuple[bool, bool]:
    """Zero-shot first, then the method alone, then the method with SAR."""
    return title != "zero-shot", title.endswith("+ SAR")


def accuracies(record: Record) -> dict[str, float]:
    """A record's accuracies by name."""
    return {name: value for name, value in record["results"].items() if name != "sar_loss"}


def as_text(rows: Sequence[ResultRow], titles: Mapping[str, str] = HEADS) -> str:
    """The table for a terminal, at most 80 columns for base, new and H; `titles` of the columns."""
    width = max(len(row.title) for row in rows)
    heads = [titles.get(name, name) for name in rows[0].columns]
    lines = ["  ".join([" " * width, *(f"{head:>11}" for head in heads)])]
    lines += [
        "  ".join([f"{row.title:{width}}", *(f"{row.cell(name):>11}" for name in row.columns)])
        for row in rows
    ]
    return "\n".join(lines)


def as_markdown(rows: Sequence[ResultRow]) -> str:
    """The table for a README, data sets as blocks of lines."""
    heads = [HEADS.get(name, name) for name in rows[0].columns]
    lines = [f"| data set | | {' | '.join(heads)} | seeds |", "|---" * (len(heads) + 3) + "|"]
    shown = ""
    for row in rows:
        dataset = "" if row.dataset == shown else row.dataset
        shown = row.dataset
        seeds = "" if row.title == "zero-shot" else str(row.seeds)
        cells = (dataset, row.title, *(row.cell(name) for name in row.columns), seeds)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fill(page: str, table: str) -> str:
    """The page with the table between its two markers.

    Raises:
        InputError: if each marker does not stand in the page once, `BEGIN` first.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end) or page.count(BEGIN) > 1 or page.count(END) > 1:
        raise InputError(f"the page must hold the lines {BEGIN} and {END} once; the table goes between them")
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"


def main() -> None:
    """`python -m examples.protocol.cli.table RUNS [--method CoOp] [--into README.md]`: print or write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.protocol.cli.table", description="Render run records as a Markdown table."
    )
    parser.add_argument(
        "runs", type=Path, help="folder with run records (*.json), or an archive of them (*.jsonl)"
    )
    parser.add_argument("--method", default="", help="only this method and zero-shot, such as CoOp")
    parser.add_argument("--into", type=Path, help="page to write the table into, between its result markers")
    options = parser.parse_args()
    with one_line_errors():
        write(options.runs, options.method, options.into)


def write(runs: Path, method: str, into: Path | None) -> None:
    """Print the table of a folder or archive of records, or put it into a page."""
    table = as_markdown(rows_of(of_method(read_records(runs), method)))
    if into is None:
        print(table)
    else:
        write_atomic(into, fill(into.read_text(encoding="utf-8"), table))


if __name__ == "__main__":
    main()
