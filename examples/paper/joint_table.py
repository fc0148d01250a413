"""Joint accuracy: base and new classes in one list, for learned, handcrafted and mixed classifiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from examples.paper.accuracy_tables import missing_descriptions
from examples.paper.layouts import METRICS, VARIANTS
from examples.paper.results import Runs
from examples.paper.sweep import Sweep
from examples.paper.table import Column, Numbers, Table, number, with_spread
from examples.protocol.evaluation import harmonic_mean
from examples.protocol.runs.record import Record

MIXED = {"blended": "blended with handcrafted", "handcrafted_new": "handcrafted for new classes"}
"""Kinds of classifiers beside the learned one → what a reader sees."""
BySeed = Mapping[int, Mapping[str, float]]
"""Joint accuracies by seed."""
Values = Mapping[str, tuple[float, float | None]]
"""Metric → mean over seeds and data sets, and spread over seeds; empty if a run is missing."""


@dataclass(frozen=True)
class JointRow:
    """The classifiers of one method and variant on one data set, or on average.

    Attributes:
        dataset: key, or `"average"`.
        title: what a reader sees for method and variant, or for the handcrafted prompts.
        values: kind of classifier → its accuracies; the handcrafted prompts have the first kind alone.
    """

    dataset: str
    title: str
    values: Mapping[str, Values]

    def numbers(self) -> list[Numbers]:
        """One entry per classifier and metric."""
        return [
            {
                "dataset": self.dataset,
                "classifier": f"{self.title}, {MIXED[kind]}" if kind in MIXED else self.title,
                "metric": metric,
                "ours": values[metric][0] if values else None,
                "ours_std": values[metric][1] if values else None,
            }
            for kind, values in self.values.items()
            for metric in METRICS
        ]


def joint_table(sweep: Sweep, runs: Runs, zero_shot: Iterable[Record], *, real: bool) -> Table:
    """Accuracy on base images and on new images among all classes, and H, for every classifier.

    Args:
        sweep: which methods and variants.
        runs: the finished runs.
        zero_shot: records of the handcrafted prompts; those without joint accuracy are left out.
        real: whether these are the paper's data sets.
    """
    datasets = tuple(dict.fromkeys(dataset for dataset, _, _ in runs))
    handcrafted = _handcrafted(zero_shot)
    rows = []
    for dataset in ("average", *datasets) if len(datasets) > 1 else datasets:
        of = datasets if dataset == "average" else (dataset,)
        rows.append(JointRow(dataset, "handcrafted prompts", {"learned": _values(handcrafted, of)}))
        rows += [
            JointRow(
                dataset,
                VARIANTS[variant].format(method),
                {
                    kind: _values(_learned(runs, of, method, variant, kind), of)
                    for kind in ("learned", *MIXED)
                },
            )
            for method in sweep.methods
            for variant in sweep.variants
        ]
    columns = [
        Column[JointRow]("data set", lambda row: row.dataset),
        Column[JointRow]("classifier", lambda row: row.title),
        *(_accuracy(*column) for column in zip(("base images", "new images", "H"), METRICS, strict=True)),
        *(_triple(kind, heading) for kind, heading in MIXED.items()),
    ]
    notes = [
        "Percent correct, mean ± standard deviation over seeds, with the names of base and new classes in one list. "
        "The last two columns are base images / new images / H of classifiers that a trained prompt and the "
        "handcrafted prompts make together. "
        "H is that of the mean accuracies; the average is over data sets. The paper has no such table.",
        *(missing_descriptions(runs) if real else ()),
    ]
    title = "Joint accuracy: all classes in one list"
    return Table.of(sweep.name, title, columns, rows, JointRow.numbers, notes)


def _accuracy(heading: str, metric: str) -> Column[JointRow]:
    def cell(row: JointRow) -> str:
        values = row.values["learned"]
        return with_spread(*values[metric]) if values else number(None)

    return Column(heading, cell)


def _triple(kind: str, heading: str) -> Column[JointRow]:
    def cell(row: JointRow) -> str:
        values = row.values.get(kind)
        if values is None:  # the handcrafted prompts themselves
            return ""
        return " / ".join(f"{values[metric][0]:.2f}" for metric in METRICS) if values else number(None)

    return Column(heading, cell)


def _handcrafted(records: Iterable[Record]) -> dict[str, BySeed]:
    return {
        record["source"]["dataset"]: {0: record["joint"]["handcrafted"]}
        for record in records
        if record.get("joint") and record["source"]["split"] == "scene"
    }


def _learned(runs: Runs, datasets: Sequence[str], method: str, variant: str, kind: str) -> dict[str, BySeed]:
    found: dict[str, BySeed] = {}
    for dataset in datasets:
        records = runs.get((dataset, method, variant), {})
        found[dataset] = {seed: r["joint"][kind] for seed, r in records.items() if r.get("joint")}
    return found


def _values(by_dataset: Mapping[str, BySeed], datasets: Sequence[str]) -> Values:
    """Over the seeds that all data sets have."""
    groups = [by_dataset.get(dataset, {}) for dataset in datasets]
    seeds = set[int].intersection(*(set(group) for group in groups)) if groups else set[int]()
    if not seeds:
        return {}
    by_seed = [{m: mean(group[seed][m] for group in groups) for m in ("base", "new")} for seed in seeds]
    for values in by_seed:
        values["h"] = harmonic_mean(values["base"], values["new"])
    means = {m: mean(values[m] for values in by_seed) for m in ("base", "new")}
    means["h"] = harmonic_mean(means["base"], means["new"])
    spread = {m: stdev(values[m] for values in by_seed) if len(by_seed) > 1 else None for m in METRICS}
    return {m: (means[m], spread[m]) for m in METRICS}
