"""Table 2: what SAR costs in parameters, time and memory."""

from __future__ import annotations

from statistics import mean
from typing import Any

from examples.paper import published
from examples.paper.accuracy_tables import VARIANTS
from examples.paper.results import Accuracies, Runs
from examples.paper.sweep import Sweep
from examples.paper.table import Table, number

COLUMNS = ("learned numbers", "training s", "evaluation ms / image", "peak memory MiB", "H")


def cost_table(sweep: Sweep, runs: Runs, *, real: bool) -> Table:
    """Costs of every variant, absolute and against the first one; the paper's beside them on its data set."""
    accuracies = Accuracies(runs)
    rows, numbers = [], []
    for (dataset, method, variant), by_seed in runs.items():
        costs = [_costs(record) for record in by_seed.values()]
        measured = [mean(values) for values in zip(*costs, strict=True)] if costs else [None] * 4
        ours = [*measured, accuracies.mean(dataset, method, variant, "h")]
        theirs = _paper(variant) if real else [None] * len(COLUMNS)
        digits = (0, 1, 2, 0, 2)
        cells = [number(value, places) for value, places in zip(ours, digits, strict=True)]
        if real:
            pairs = zip(cells, theirs, digits, strict=True)
            cells = [f"{cell} ({_or_dash(value, places)})" for cell, value, places in pairs]
        rows.append([dataset, VARIANTS[variant].format(method), *cells])
        for column, value, other in zip(COLUMNS, ours, theirs, strict=True):
            entry = {"dataset": dataset, "method": method, "variant": variant, "metric": column}
            numbers.append({**entry, "paper": other, "ours": value})
    notes = [
        "Mean over seeds, each run in a process of its own. Peak memory is the GPU's where there is one, else that of "
        "the whole process, Python and libraries included. Runs without and with SAR both use the shared-prefix "
        "encoder; `benchmarks/train_step.py` compares with the plain one of the official code."
    ]
    if real:
        notes.append(
            "In brackets: the paper, on its own GPU (not named there); times and memory do not compare."
        )
    return Table(sweep.name, "Table 2: cost of SAR", notes, ["data set", "method", *COLUMNS], rows, numbers)


def _costs(record: dict[str, Any]) -> list[float]:
    images = sum(test["images"] for test in record["data"]["tests"].values())
    seconds = record["seconds"]
    return [
        record["training"]["learned_numbers"],
        seconds["training"],
        1000 * seconds["evaluation"] / images,
        record["peak_memory_mib"],
    ]


def _paper(variant: str) -> list[float | None]:
    def of(metric: str, dataset: str = "imagenet") -> float | None:
        base = published.paper().get(("2", dataset, "CoOp", "baseline", metric))
        more = published.paper().get(("2", dataset, "CoOp", variant, _delta(metric)))
        if variant == "baseline" or base is None or more is None:
            return base
        return base + more

    memory = of("mem_gib")
    h = published.paper().get(("2", "average", "CoOp", variant, "h"))
    return [
        of("params"),
        of("train_time_s"),
        of("infer_time_ms"),
        None if memory is None else 1024 * memory,
        h,
    ]


def _delta(metric: str) -> str:
    name, _, unit = metric.rpartition("_")
    return f"{name}_delta_{unit}" if name else f"{metric}_delta"


def _or_dash(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
