"""Table 2: what SAR costs in parameters, time and memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean

from examples.paper import published
from examples.paper.layouts import VARIANTS
from examples.paper.results import Accuracies, Runs
from examples.paper.sweep import Sweep
from examples.paper.table import Column, Numbers, Table, number
from examples.protocol.runs.record import Record

DIGITS = {
    "learned numbers": 0,
    "training s": 1,
    "evaluation ms / image": 2,
    "peak memory MiB": 0,
    "H": 2,
}
"""The quantities of the table and the decimals shown."""


@dataclass(frozen=True)
class CostRow:
    """One variant on one data set.

    Attributes:
        dataset: its key.
        method: name of the method.
        variant: name of the variant.
        ours: quantity → mean over seeds, None if a run is missing.
        theirs: the paper's values under the same names; empty if they do not belong to this data.
    """

    dataset: str
    method: str
    variant: str
    ours: Mapping[str, float | None]
    theirs: Mapping[str, float | None]

    def numbers(self) -> list[Numbers]:
        """One entry per quantity."""
        about = {"dataset": self.dataset, "method": self.method, "variant": self.variant}
        return [
            {**about, "metric": name, "paper": self.theirs.get(name), "ours": value}
            for name, value in self.ours.items()
        ]


def cost_table(sweep: Sweep, runs: Runs, *, real: bool) -> Table:
    """Costs of every variant; the paper's in brackets on the paper's data."""
    accuracies = Accuracies(runs)
    rows = [
        CostRow(
            dataset,
            method,
            variant,
            _costs(by_seed.values()) | {"H": accuracies.mean(dataset, method, variant, "h")},
            _paper(variant) if real else {},
        )
        for (dataset, method, variant), by_seed in runs.items()
    ]
    columns = [
        Column[CostRow]("data set", lambda row: row.dataset),
        Column[CostRow]("method", lambda row: VARIANTS[row.variant].format(row.method)),
        *(_quantity(name, digits) for name, digits in DIGITS.items()),
    ]
    notes = [
        "Mean over seeds, each run in a process of its own. Peak memory is the GPU's where there is one, else that of "
        "the whole process, Python and libraries included. Runs without and with SAR both use the shared-prefix "
        "encoder; `benchmarks/train_step.py` compares with the plain one of the official code."
    ]
    if real:
        notes.append(
            "In brackets: the paper, on its own GPU (not named there); times and memory do not compare."
        )
    return Table.of(sweep.name, "Table 2: cost of SAR", columns, rows, CostRow.numbers, notes)


def _quantity(name: str, digits: int) -> Column[CostRow]:
    def cell(row: CostRow) -> str:
        text, theirs = number(row.ours[name], digits), row.theirs.get(name)
        return text if theirs is None else f"{text} ({theirs:.{digits}f})"

    return Column(name, cell)


def _costs(records: Iterable[Record]) -> dict[str, float | None]:
    costs = [_cost(record) for record in records]
    return {name: mean(cost[name] for cost in costs) if costs else None for name in DIGITS if name != "H"}


def _cost(record: Record) -> dict[str, float]:
    images = sum(test["images"] for test in record["data"]["tests"].values())
    values = (
        record["training"]["learned_numbers"],
        record["seconds"]["training"],
        1000 * record["seconds"]["evaluation"] / images,
        record["peak_memory_mib"],
    )
    return dict(zip(DIGITS, values, strict=False))


def _paper(variant: str) -> dict[str, float | None]:
    numbers = published.paper()

    def of(metric: str) -> float | None:
        base = numbers.get(("2", "imagenet", "CoOp", "baseline", metric))
        more = numbers.get(("2", "imagenet", "CoOp", variant, _delta(metric)))
        return base if variant == "baseline" or base is None or more is None else base + more

    memory, h = of("mem_gib"), numbers.get(("2", "average", "CoOp", variant, "h"))
    in_mib = None if memory is None else 1024 * memory
    values = (of("params"), of("train_time_s"), of("infer_time_ms"), in_mib, h)
    return dict(zip(DIGITS, values, strict=True))


def _delta(metric: str) -> str:
    name, _, unit = metric.rpartition("_")
    return f"{name}_delta_{unit}" if name else f"{metric}_delta"
