"""Joint accuracy: base and new classes in one list, for learned, handcrafted and mixed classifiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from examples.paper.accuracy_tables import METRICS, VARIANTS
from examples.paper.results import Runs
from examples.paper.sweep import Sweep
from examples.paper.table import Column, Numbers, Table, number, with_spread
from examples.protocol.evaluation import harmonic_mean
from examples.protocol.runs.record import Record

KINDS = {
    "learned": "{}",
    "blended": "{}, blended with handcrafted",
    "handcrafted_new": "{}, handcrafted for new classes",
}
BySeed = Mapping[int, Mapping[str, float]]
"""Joint accuracies by seed."""


@dataclass(frozen=True)
class Row:
    """One classifier on one data set, or on average.

    Attributes:
        dataset: key, or `"average"`.
        classifier: what a reader sees.
        values: metric → mean over seeds and data sets, and spread over seeds; empty where a run is missing.
    """

    dataset: str
    classifier: str
    values: Mapping[str, tuple[float, float | None]]

    def numbers(self) -> list[Numbers]:
        """One entry per metric."""
        about = {"dataset": self.dataset, "classifier": self.classifier}
        return [{**about, "metric": m, "ours": self.values[m][0] if self.values else None} for m in METRICS]


def joint_table(sweep: Sweep, runs: Runs, zero_shot: Iterable[Record]) -> Table:
    """Accuracy on base images and on new images among all classes, and H, for every classifier.

    Args:
        sweep: which methods and variants.
        runs: the finished runs.
        zero_shot: records of the handcrafted prompts; those without joint accuracy are left out.
    """
    datasets = tuple(dict.fromkeys(dataset for dataset, _, _ in runs))
    classifiers = {"handcrafted prompts": _handcrafted(zero_shot)} | {
        words.format(VARIANTS[variant].format(method)): _learned(runs, datasets, method, variant, kind)
        for method in sweep.methods
        for variant in sweep.variants
        for kind, words in KINDS.items()
    }
    rows = [
        Row(dataset, title, _values(by_dataset, datasets if dataset == "average" else (dataset,)))
        for dataset in ("average", *datasets)
        for title, by_dataset in classifiers.items()
    ]
    columns = [
        Column[Row]("data set", lambda row: row.dataset),
        Column[Row]("classifier", lambda row: row.classifier),
        *(_accuracy(*column) for column in zip(("base images", "new images", "H"), METRICS, strict=True)),
    ]
    notes = [
        "Percent correct, mean ± standard deviation over seeds, with the names of base and new classes in one list. "
        "H is that of the mean accuracies; the average is over data sets. The paper has no such table.",
    ]
    return Table.of(sweep.name, "Joint accuracy: all classes in one list", columns, rows, Row.numbers, notes)


def _accuracy(heading: str, metric: str) -> Column[Row]:
    return Column(heading, lambda row: with_spread(*row.values[metric]) if row.values else number(None))


def _handcrafted(records: Iterable[Record]) -> dict[str, BySeed]:
    return {
        record["source"]["dataset"]: {0: record["joint"]["handcrafted"]}
        for record in records
        if record.get("joint") and record["source"]["split"] == "scene"
    }


def _learned(runs: Runs, datasets: Sequence[str], method: str, variant: str, kind: str) -> dict[str, BySeed]:
    found = {}
    for dataset in datasets:
        records = runs.get((dataset, method, variant), {})
        found[dataset] = {seed: r["joint"][kind] for seed, r in records.items() if r.get("joint")}
    return found


def _values(
    by_dataset: Mapping[str, BySeed], datasets: Sequence[str]
) -> dict[str, tuple[float, float | None]]:
    """Mean over seeds and data sets of each metric, with the spread over seeds; empty where a run is missing."""
    groups = [by_dataset.get(dataset, {}) for dataset in datasets]
    seeds = set.intersection(*(set(group) for group in groups)) if groups else set()
    if not seeds:
        return {}
    by_seed = {
        seed: {m: mean(group[seed][m] for group in groups) for m in ("base", "new")} for seed in sorted(seeds)
    }
    for values in by_seed.values():
        values["h"] = harmonic_mean(values["base"], values["new"])
    means = {m: mean(values[m] for values in by_seed.values()) for m in ("base", "new")}
    means["h"] = harmonic_mean(means["base"], means["new"])
    spread = {m: stdev(v[m] for v in by_seed.values()) if len(by_seed) > 1 else None for m in METRICS}
    return {m: (means[m], spread[m]) for m in METRICS}
