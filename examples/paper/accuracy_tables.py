"""Tables 1, 3 and 4, and the tables beside figures 3 to 5: Base, New and H."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from examples.paper import published
from examples.paper.layouts import LAYOUTS, METRICS, Layout
from examples.paper.results import Accuracies, Group, Runs
from examples.paper.sweep import Sweep
from examples.paper.table import NOT_RUN, Column, Numbers, Table, number, paired_text, with_spread

ABOUT = (
    "Percent correct, mean ± standard deviation over seeds; H is the harmonic mean of mean Base and mean New. "
    "The last column pairs runs of the same seed."
)


@dataclass(frozen=True)
class AccuracyRow:
    """One method and variant on one data set, or on average: our numbers, the paper's and the method's own paper's.

    Attributes:
        group: data set or `"average"`, method and variant.
        label: what a reader sees for method and variant.
        ours: metric → mean over seeds, None if a run is missing.
        spread: metric → standard deviation over seeds.
        theirs: metric → the paper's number; empty if it has none, or none that compares.
        official: metric → the number of the method's own paper; empty likewise.
        paired: New minus New of the first variant, seed by seed, as text.
        held_out: new classes among the novel names and left out, as text.
    """

    group: Group
    label: str
    ours: Mapping[str, float | None]
    spread: Mapping[str, float | None]
    theirs: Mapping[str, float]
    official: Mapping[str, float]
    paired: str
    held_out: str = ""

    def difference(self, metric: str) -> float | None:
        """Ours minus the paper's."""
        ours, theirs = self.ours[metric], self.theirs.get(metric)
        return None if ours is None or theirs is None else ours - theirs

    def numbers(self) -> list[Numbers]:
        """One entry per metric."""
        about = dict(zip(("dataset", "method", "variant"), self.group, strict=True))
        return [
            {
                **about,
                "metric": metric,
                "published": self.official.get(metric),
                "paper": self.theirs.get(metric),
                "ours": value,
                "ours_std": self.spread.get(metric),
                "difference": self.difference(metric),
            }
            for metric, value in self.ours.items()
        ]


def _shown(values: Mapping[str, float]) -> str:
    return " / ".join(f"{values[metric]:.2f}" for metric in METRICS) if values else "–"


def _differences(row: AccuracyRow) -> str:
    differences = [row.difference(metric) for metric in METRICS]
    return "–" if None in differences else " / ".join(number(value, sign=True) for value in differences)


NAMES = (
    Column[AccuracyRow]("data set", lambda row: row.group[0]),
    Column[AccuracyRow]("method", lambda row: row.label),
)
PUBLISHED = (
    Column[AccuracyRow]("published B / N / H", lambda row: _shown(row.official)),
    Column[AccuracyRow]("paper's run B / N / H", lambda row: _shown(row.theirs)),
)
OURS = (
    Column[AccuracyRow]("Base", lambda row: with_spread(row.ours["base"], row.spread["base"])),
    Column[AccuracyRow]("New", lambda row: with_spread(row.ours["new"], row.spread["new"])),
    Column[AccuracyRow]("H", lambda row: with_spread(row.ours["h"], None)),
)
COMPARED = Column[AccuracyRow]("ours − paper's run", _differences)
PAIRED = Column[AccuracyRow]("New − first row, per seed", lambda row: row.paired)
MORE: Mapping[str, tuple[Column[AccuracyRow], ...]] = {
    "": (),
    "sar_loss": (
        Column[AccuracyRow](
            "SAR loss",
            lambda row: number(row.ours["sar_loss"], 3),
            "SAR loss: over all base and novel classes, after training.",
        ),
    ),
    "held_out": (
        Column[AccuracyRow](
            "new classes used (left out)",
            lambda row: row.held_out,
            "New classes used: those that are among the novel names, in all data sets of the row, and in "
            "brackets those that the source had and that were left out for it; the WordNet lists of the repository "
            "were made without them.",
        ),
    ),
}


def accuracy_table(sweep: Sweep, runs: Runs, *, real: bool) -> Table:
    """Base, New and H of every data set, method and variant.

    Args:
        sweep: which table.
        runs: what has been run.
        real: whether these are the paper's data sets, so that its numbers stand beside.
    """
    layout, accuracies = LAYOUTS[sweep.name], Accuracies(runs)
    rows = [
        _row(
            sweep,
            accuracies,
            group,
            compares=real and (group[0] != "average" or _complete(sweep, accuracies)),
        )
        for group in product(_datasets(layout, accuracies, real=real), sweep.methods, sweep.variants)
    ]
    beside, compared = (PUBLISHED, (COMPARED,)) if real else ((), ())
    columns = (*NAMES, *beside, *OURS, *compared, PAIRED, *MORE[layout.more])
    notes = [ABOUT, *(_limits(sweep, runs, accuracies) if real else ())]
    return Table.of(sweep.name, layout.title, columns, rows, AccuracyRow.numbers, notes)


def _datasets(layout: Layout, accuracies: Accuracies, *, real: bool) -> Sequence[str]:
    """The data sets that have rows, after their average; a single data set has no average."""
    if len(accuracies.datasets) == 1:
        return accuracies.datasets
    return ("average",) if layout.averages and real else ("average", *accuracies.datasets)


def _complete(sweep: Sweep, accuracies: Accuracies) -> bool:
    """Whether our average is over the same data sets as the paper's."""
    return set(accuracies.datasets) == set(sweep.datasets)


def _row(sweep: Sweep, accuracies: Accuracies, group: Group, *, compares: bool) -> AccuracyRow:
    """One row; with the paper's numbers if ours `compares` with them."""
    layout, (_, method, variant) = LAYOUTS[sweep.name], group
    first, with_novel = next(iter(sweep.variants)), bool(sweep.variants[variant]["sar"])
    ours, held_out = {metric: accuracies.mean(*group, metric) for metric in METRICS}, ""
    if layout.more == "sar_loss":
        ours["sar_loss"] = accuracies.sar_loss(*group)
    if layout.more == "held_out":
        used, left_out = accuracies.held_out(*group) or (None, None)
        ours |= {"held_out_names": used, "held_out_names_left_out": left_out}
        held_out = f"{used} ({left_out})" if used is not None else NOT_RUN if with_novel else ""
    return AccuracyRow(
        group,
        layout.label(method, variant),
        ours,
        spread={metric: accuracies.spread(*group, metric) for metric in METRICS},
        theirs=layout.paper(group) if compares else {},
        official=_official(sweep, group) if compares else {},
        paired="" if variant == first else paired_text(accuracies.paired(*group, "new", first)),
        held_out=held_out,
    )


def _official(sweep: Sweep, group: Group) -> dict[str, float]:
    """Metric → what the method's own paper reports: averages without SAR."""
    dataset, method, variant = group
    known, shots = published.methods(), 4 if sweep.protocol == "paper_4shot" else 16
    keys = {metric: (method, shots, metric) for metric in METRICS}
    if dataset != "average" or sweep.variants[variant]["sar"] or not known.keys() >= set(keys.values()):
        return {}
    return {metric: known[key] for metric, key in keys.items()}


def _limits(sweep: Sweep, runs: Runs, accuracies: Accuracies) -> list[str]:
    """What limits the comparison with the paper."""
    limits = [
        *missing_descriptions(runs),
        f"{NOT_RUN}: no run record is present; no number is made up for it.",
    ]
    if len(accuracies.datasets) == 1 or _complete(sweep, accuracies):
        return limits
    return [
        f"The average is over {len(accuracies.datasets)} of the paper's {len(sweep.datasets)} data sets, so it is not "
        "compared with the paper's.",
        *limits,
    ]


def missing_descriptions(runs: Runs) -> list[str]:
    """A note if CoPrompt ran without the sentences that its paper uses."""
    records = (record for by_seed in runs.values() for record in by_seed.values())
    if not any(record["method"] == "CoPrompt" and not record["recipe"]["descriptions"] for record in records):
        return []
    return [
        "CoPrompt ran without its descriptions: handcrafted prompts stand in for them, so its rows are not the "
        "paper's method. Pass --descriptions FOLDER."
    ]
