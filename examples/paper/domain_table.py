"""Table 5: accuracy on the source and on shifted domains."""

from __future__ import annotations

from examples.paper import published
from examples.paper.accuracy_tables import VARIANTS
from examples.paper.results import Accuracies, Runs
from examples.paper.sweep import Sweep
from examples.paper.table import Table, number, paired_text, with_spread


def domain_table(sweep: Sweep, runs: Runs, *, real: bool) -> Table:
    """Source and target accuracies of every data set, method and variant, and the mean over targets."""
    accuracies = Accuracies(runs)
    targets = sweep.targets if real else sweep.testbed_targets
    datasets = accuracies.datasets if len(accuracies.datasets) == 1 else ("average", *accuracies.datasets)
    rows, numbers = [], []
    for dataset in datasets:
        for method in sweep.methods:
            for variant in sweep.variants:
                values = {m: accuracies.mean(dataset, method, variant, m) for m in ("source", *targets)}
                spread = {m: accuracies.spread(dataset, method, variant, m) for m in values}
                known = [value for m, value in values.items() if m != "source" and value is not None]
                average = sum(known) / len(targets) if len(known) == len(targets) else None
                shown = {**values, "average": average}
                cells = []
                for metric, value in shown.items():
                    theirs = _paper(method, variant, metric) if real else None
                    cell = with_spread(value, spread.get(metric))
                    cells.append(cell if theirs is None else f"{cell} ({theirs:.2f})")
                    entry = {"dataset": dataset, "method": method, "variant": variant, "metric": metric}
                    difference = None if value is None or theirs is None else value - theirs
                    numbers.append({**entry, "paper": theirs, "ours": value, "difference": difference})
                if real:
                    theirs = _paper(method, variant, "average")
                    cells.append(
                        "–" if average is None or theirs is None else number(average - theirs, sign=True)
                    )
                paired = [accuracies.paired(dataset, method, variant, target) for target in targets]
                cells.append(
                    "" if variant == "baseline" else " / ".join(filter(None, map(paired_text, paired)))
                )
                rows.append([dataset, VARIANTS[variant].format(method), *cells])
    columns = ["source", "method", "on source", *targets, "mean of targets"]
    columns += ["ours − paper's run, mean"] if real else []
    columns += ["targets − baseline, per seed"]
    notes = [
        "Percent correct, mean ± standard deviation over seeds. The last column pairs runs of the same seed, "
        "target by target."
    ]
    if real:
        notes.append(
            "In brackets: what the paper's authors got when they ran the methods again; no numbers of the methods' "
            "own papers are known to us here. The paper's average for TCP + SAR, 59.74, is not the mean of its four "
            "cells, which is 59.89."
        )
    title = "Table 5: domain generalisation"
    return Table(sweep.name, title, notes, columns, rows, numbers)


def _paper(method: str, variant: str, metric: str) -> float | None:
    dataset = {"source": "imagenet"}.get(metric, metric)
    return published.paper().get(("5", dataset, method, variant, "acc"))
