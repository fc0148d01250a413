"""Finished runs of a sweep, found by their settings, and their means over seeds and data sets."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from examples.paper.sweep import PlannedRun
from examples.protocol.evaluation import harmonic_mean
from examples.protocol.runs.archive import find_records
from examples.protocol.runs.config import RunConfig
from examples.protocol.runs.record import Record

Group = tuple[str, str, str]
"""Data set, method, variant."""
Runs = Mapping[Group, Mapping[int, Record]]
"""The finished runs of each group, by seed."""


def settings_key(settings: Mapping[str, Any]) -> str:
    """A key that is equal for runs with equal settings; the folder of the data does not matter."""
    parts = {name: settings[name] for name in ("method", "sar", "seed", "source", "recipe")}
    parts["source"] = {
        **parts["source"],
        "data": "testbed" if parts["source"]["data"] == "testbed" else "folder",
    }
    parts["recipe"] = {**parts["recipe"], "descriptions": bool(parts["recipe"].get("descriptions"))}
    return json.dumps(parts, sort_keys=True)


def find_runs(planned: Iterable[PlannedRun], places: Sequence[Path]) -> dict[Group, dict[int, Record]]:
    """Find the finished runs of a plan in folders and archives; a group without runs is empty.

    Several runs can have equal settings, for instance when a word list has changed. The last place has priority,
    and within it the run that finished last.
    """
    stored: dict[str, Record] = {}
    for place in places:
        records = sorted(find_records(place), key=finished_at)
        stored |= {settings_key(record): record for record in records}
    found: dict[Group, dict[int, Record]] = {}
    for run in planned:
        seeds = found.setdefault(group_of(run.config, run.variant), {})
        record = stored.get(settings_key(run.config.settings()))
        if record is not None:
            seeds[run.config.seed] = record
    return found


def finished_at(record: Record) -> float:
    """When a run finished, in seconds since 1970; 0 if its record does not contain it."""
    when = record.get("finished")
    return datetime.strptime(when, "%Y-%m-%dT%H:%M:%S%z").timestamp() if when else 0.0


def group_of(config: RunConfig, variant: str) -> Group:
    """The row of a table that a run belongs to."""
    return config.source.dataset, config.method, variant


class Accuracies:
    """Base, new and H of every group, and of their averages, as the protocol defines them.

    H of a group is that of its mean base and mean new accuracy; the average row is the mean of base and of new
    over the data sets, and H of those two.
    """

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.datasets = tuple(dict.fromkeys(dataset for dataset, _, _ in runs))

    def mean(self, dataset: str, method: str, variant: str, metric: str) -> float | None:
        """Mean over seeds, in percent; of `"average"` over data sets too; None if a run is missing."""
        if metric == "h":
            base, new = (self.mean(dataset, method, variant, name) for name in ("base", "new"))
            return None if base is None or new is None else harmonic_mean(base, new)
        if dataset == "average":
            means = [self.mean(name, method, variant, metric) for name in self.datasets]
            return None if None in means else mean(value for value in means if value is not None)
        values = self._values(dataset, method, variant, metric)
        return mean(values) if values else None

    def spread(self, dataset: str, method: str, variant: str, metric: str) -> float | None:
        """Standard deviation over seeds (n − 1); of `"average"`: of each seed's average over data sets."""
        if dataset == "average":
            groups = [self._by_seed(name, method, variant, metric) for name in self.datasets]
            seeds = set.intersection(*(set(group) for group in groups)) if groups else set()
            values = [mean(group[seed] for group in groups) for seed in sorted(seeds)]
        else:
            values = self._values(dataset, method, variant, metric)
        return stdev(values) if len(values) > 1 else None

    def paired(
        self, dataset: str, method: str, variant: str, metric: str, reference: str = "baseline"
    ) -> tuple[float, float] | None:
        """Mean and standard deviation over seeds of (variant − reference), seed by seed."""
        names = self.datasets if dataset == "average" else (dataset,)
        by_seed: dict[int, list[float]] = {}
        for name in names:
            with_sar = self._by_seed(name, method, variant, metric)
            without = self._by_seed(name, method, reference, metric)
            for seed in with_sar.keys() & without.keys():
                by_seed.setdefault(seed, []).append(with_sar[seed] - without[seed])
        values = [mean(v) for v in by_seed.values() if len(v) == len(names)]
        return (mean(values), stdev(values) if len(values) > 1 else math.nan) if values else None

    def sar_loss(self, dataset: str, method: str, variant: str) -> float | None:
        """Mean SAR loss over all classes after training; of `"average"` over data sets; None if one is missing."""
        names = self.datasets if dataset == "average" else (dataset,)
        groups = [list(self.runs.get((name, method, variant), {}).values()) for name in names]
        if not all(groups) or any(
            "sar_loss" not in record["results"] for group in groups for record in group
        ):
            return None
        return mean(mean(record["results"]["sar_loss"] for record in group) for group in groups)

    def held_out(self, dataset: str, method: str, variant: str) -> tuple[int, int] | None:
        """Held-out names among the novel classes, and those that were left out of the source's words for it.

        Of `"average"`: summed over data sets. None if a run is missing or had no novel classes.
        """
        names = self.datasets if dataset == "average" else (dataset,)
        groups = [list(self.runs.get((name, method, variant), {}).values()) for name in names]
        if not all(groups) or not all(record.get("bank") for group in groups for record in group):
            return None
        banks = [group[0]["bank"] for group in groups]  # the same for all seeds
        kept = sum(len(bank["overlap_with_held_out"]) for bank in banks)
        dropped = (bank["provenance"].get("outcome", {}).get("dropped", {}) for bank in banks)
        return kept, sum(reasons.get("excluded", 0) for reasons in dropped)

    def _values(self, dataset: str, method: str, variant: str, metric: str) -> list[float]:
        return list(self._by_seed(dataset, method, variant, metric).values())

    def _by_seed(self, dataset: str, method: str, variant: str, metric: str) -> dict[int, float]:
        records = self.runs.get((dataset, method, variant), {})
        return {seed: _value(record["results"], metric) for seed, record in sorted(records.items())}


def _value(results: Mapping[str, float], metric: str) -> float:
    return harmonic_mean(results["base"], results["new"]) if metric == "h" else results[metric]
