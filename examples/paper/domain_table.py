"""Table 5: accuracy on the source and on shifted domains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from examples.paper import published
from examples.paper.layouts import VARIANTS
from examples.paper.results import Accuracies, Runs
from examples.paper.sweep import Sweep
from examples.paper.table import Column, Numbers, Table, number, paired_text, with_spread


@dataclass(frozen=True)
class DomainRow:
    """One method and variant, trained on one source or averaged over sources.

    Attributes:
        dataset: key of the source, or `"average"`.
        method: name of the method.
        variant: name of the variant.
        ours: `source`, each target and `average` over targets → mean over seeds, None if a run is missing.
        spread: source and targets → standard deviation over seeds.
        theirs: the paper's numbers, under the same names.
        paired: for each target, mean and standard deviation of the gain over the baseline, seed by seed.
    """

    dataset: str
    method: str
    variant: str
    ours: Mapping[str, float | None]
    spread: Mapping[str, float | None]
    theirs: Mapping[str, float | None]
    paired: tuple[tuple[float, float] | None, ...]

    def difference(self, metric: str) -> float | None:
        """Ours minus the paper's."""
        ours, theirs = self.ours[metric], self.theirs[metric]
        return None if ours is None or theirs is None else ours - theirs

    def numbers(self) -> list[Numbers]:
        """One entry per metric."""
        about = {"dataset": self.dataset, "method": self.method, "variant": self.variant}
        return [
            {**about, "metric": m, "paper": self.theirs[m], "ours": value, "difference": self.difference(m)}
            for m, value in self.ours.items()
        ]


def domain_table(sweep: Sweep, runs: Runs, *, real: bool) -> Table:
    """Source and target accuracies of every data set, method and variant, and the mean over targets."""
    accuracies = Accuracies(runs)
    targets = sweep.targets if real else sweep.testbed_targets
    datasets = accuracies.datasets if len(accuracies.datasets) == 1 else ("average", *accuracies.datasets)
    rows = [
        _row(accuracies, (dataset, method, variant), targets, real=real)
        for dataset in datasets
        for method in sweep.methods
        for variant in sweep.variants
    ]
    columns = [
        Column[DomainRow]("source", lambda row: row.dataset),
        Column[DomainRow]("method", lambda row: VARIANTS[row.variant].format(row.method)),
        _accuracy("on source", "source"),
        *(_accuracy(target, target) for target in targets),
        _accuracy("mean of targets", "average"),
        *([COMPARED] if real else []),
        Column[DomainRow]("targets − baseline, per seed", _gains),
    ]
    notes = [
        "Percent correct, mean ± standard deviation over seeds. The last column pairs runs of the same seed, "
        "target by target."
    ]
    return Table.of(sweep.name, "Table 5: domain generalisation", columns, rows, DomainRow.numbers, notes)


def _accuracy(heading: str, metric: str) -> Column[DomainRow]:
    def cell(row: DomainRow) -> str:
        text, theirs = with_spread(row.ours[metric], row.spread.get(metric)), row.theirs[metric]
        return text if theirs is None else f"{text} ({theirs:.2f})"

    return Column(heading, cell)


def _compared(row: DomainRow) -> str:
    difference = row.difference("average")
    return "–" if difference is None else number(difference, sign=True)


def _gains(row: DomainRow) -> str:
    return "" if row.variant == "baseline" else " / ".join(filter(None, map(paired_text, row.paired)))


COMPARED = Column[DomainRow](
    "ours − paper's run, mean",
    _compared,
    "In brackets: what the paper's authors got when they ran the methods again; no numbers of the methods' own papers "
    "are known to us here. The paper's average for TCP + SAR, 59.74, is not the mean of its four cells, which is "
    "59.89.",
)


def _row(
    accuracies: Accuracies, group: tuple[str, str, str], targets: tuple[str, ...], *, real: bool
) -> DomainRow:
    ours = {metric: accuracies.mean(*group, metric) for metric in ("source", *targets)}
    known = [value for metric, value in ours.items() if metric != "source" and value is not None]
    spread = {metric: accuracies.spread(*group, metric) for metric in ours}
    ours["average"] = sum(known) / len(targets) if len(known) == len(targets) else None
    theirs = {metric: _paper(*group[1:], metric) if real else None for metric in ours}
    paired = tuple(accuracies.paired(*group, target) for target in targets)
    return DomainRow(*group, ours, spread, theirs, paired)


def _paper(method: str, variant: str, metric: str) -> float | None:
    dataset = {"source": "imagenet"}.get(metric, metric)
    return published.paper().get(("5", dataset, method, variant, "acc"))
