"""`python -m examples.paper.pack OUT`: add the finished runs of OUT to the repository's archives, each run once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import tyro

from examples.paper.results import finished_at, settings_key
from examples.paper.sweep import NAMES, load_sweep, plan
from examples.protocol.cli.errors import one_line_errors, read_options
from examples.protocol.runs.archive import find_records, write_archives
from examples.protocol.runs.record import Record
from sar_reg.errors import InputError, counted

RESULTS = Path(__file__).parent / "results"
METHODS = "methods"
"""The archive of table 3: the methods with and without SAR as their commands run them, and zero-shot."""


@dataclass(frozen=True)
class PackOptions:
    """Add finished runs to the archives that tables and figures are rendered from.

    A run goes to the archive of the first table that has it, and replaces an earlier run with the same settings.
    """

    out: Annotated[Path, tyro.conf.Positional]
    """Folder of finished runs, the --out of the command that made them."""
    into: Path = RESULTS
    """Folder of the archives."""


def archives_of(name: str, folder: Path = RESULTS) -> list[Path]:
    """The archives with the runs of a table or figure; a sweep of isolated runs has only its own."""
    names = [name] if name in _isolated() else dict.fromkeys(_owners().values())
    return [folder / f"{archive}.jsonl" for archive in names]


def pack(out: Path, into: Path) -> tuple[dict[str, int], int]:
    """Add the runs of `out`; returns how many went to each archive, and how many belong to no table."""
    owners, isolated = _owners(), _isolated()
    names = [*dict.fromkeys(owners.values()), *isolated]
    found: dict[str, list[Record]] = {
        name: find_records(out / name) if name in isolated else [] for name in names
    }
    unknown = 0
    for record in find_records(out):
        name = METHODS if record["method"] == "zero-shot" else owners.get(settings_key(record))
        if name is None:
            unknown += 1
        else:
            found[name].append(record)
    archives = {}
    for name in names:
        runs = [*find_records(into / f"{name}.jsonl"), *sorted(found[name], key=finished_at)]
        archives[name] = sorted({settings_key(run): run for run in runs}.values(), key=_order)
    write_archives(into, {name: runs for name, runs in archives.items() if runs})
    return {name: len(runs) for name, runs in found.items()}, unknown


def _isolated() -> list[str]:
    return [name for name in NAMES if load_sweep(name).isolated]


@cache
def _owners() -> dict[str, str]:
    """Settings of every run of the paper's tables, on both kinds of data → the archive that holds it."""
    owners: dict[str, str] = {}
    for name in sorted(NAMES, key=lambda name: name != "table3"):  # the other tables share its runs
        if name in _isolated():
            continue
        for data in ("testbed", "folder"):
            for run in plan(load_sweep(name), data):
                owners.setdefault(settings_key(run.config.settings()), METHODS if name == "table3" else name)
    return owners


def _order(record: Record) -> tuple[str, ...]:
    source = record["source"]
    place = (source["dataset"], source["split"], *source["targets"])
    return (*place, record["title"], str(record["seed"]), record["identity"])


def main(argv: Sequence[str] | None = None) -> None:
    """The command line; mistakes of the user end in one line."""
    with one_line_errors():
        options: PackOptions = read_options(
            PackOptions, argv, prog="python -m examples.paper.pack", description=PackOptions.__doc__
        )
        counts, unknown = pack(options.out, options.into)
        if not any(counts.values()):
            raise InputError(f"there are no finished runs of a table or figure in {options.out}")
    for name, count in counts.items():
        if count:
            print(f"{options.into / name}.jsonl: {counted(count, 'run')}")
    if unknown:
        print(f"left out: {counted(unknown, 'run')} with settings of no table")


if __name__ == "__main__":
    main()
