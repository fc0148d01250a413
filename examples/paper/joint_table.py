"""Joint accuracy: base and new classes in one list, for learned, handcrafted and mixed classifiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev

from examples.paper.results import Runs
from examples.paper.sweep import Sweep
from examples.paper.table import Table, number, with_spread
from examples.protocol.evaluation import harmonic_mean
from examples.protocol.runs.record import Record

TITLES = {"baseline": "{}", "sar": "{} + SAR"}
KINDS = {
    "learned": "{}",
    "blended": "{}, blended with handcrafted",
    "handcrafted_new": "{}, handcrafted for new classes",
}
METRICS = ("base", "new", "h")
BySeed = Mapping[int, Mapping[str, float]]
"""Joint accuracies by seed."""


def joint_table(sweep: Sweep, runs: Runs, zero_shot: Iterable[Record]) -> Table:
    """Accuracy on base images and on new images among all classes, and H, for every classifier.

    Args:
        sweep: which methods and variants.
        runs: the finished runs.
        zero_shot: records of the handcrafted prompts; those without joint accuracy are left out.
    """
    datasets = tuple(dict.fromkeys(dataset for dataset, _, _ in runs))
    lines: list[tuple[str, dict[str, BySeed]]] = [("handcrafted prompts", _handcrafted(zero_shot))]
    for method in sweep.methods:
        for variant in sweep.variants:
            title = TITLES[variant].format(method)
            for kind, words in KINDS.items():
                lines.append((words.format(title), _learned(runs, datasets, method, variant, kind)))
    rows, numbers = [], []
    for dataset in ("average", *datasets):
        for title, by_dataset in lines:
            values = _values(by_dataset, datasets if dataset == "average" else (dataset,))
            rows.append(
                [dataset, title, *(with_spread(*values[m]) if values else number(None) for m in METRICS)]
            )
            for metric in METRICS:
                ours = values[metric][0] if values else None
                numbers.append({"dataset": dataset, "classifier": title, "metric": metric, "ours": ours})
    notes = [
        "Percent correct, mean ± standard deviation over seeds, with the names of base and new classes in one list. "
        "H is that of the mean accuracies; the average is over data sets. The paper has no such table.",
    ]
    columns = ["data set", "classifier", "base images", "new images", "H"]
    return Table(sweep.name, "Joint accuracy: all classes in one list", notes, columns, rows, numbers)


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
) -> dict[str, tuple[float, float | None]] | None:
    """Mean over seeds and data sets of each metric, with the spread over seeds; None where a run is missing."""
    groups = [by_dataset.get(dataset, {}) for dataset in datasets]
    seeds = set.intersection(*(set(group) for group in groups)) if groups else set()
    if not seeds:
        return None
    by_seed = {
        seed: {m: mean(group[seed][m] for group in groups) for m in ("base", "new")} for seed in sorted(seeds)
    }
    for values in by_seed.values():
        values["h"] = harmonic_mean(values["base"], values["new"])
    means = {m: mean(values[m] for values in by_seed.values()) for m in ("base", "new")}
    means["h"] = harmonic_mean(means["base"], means["new"])
    spread = {m: stdev(v[m] for v in by_seed.values()) if len(by_seed) > 1 else None for m in METRICS}
    return {m: (means[m], spread[m]) for m in METRICS}
