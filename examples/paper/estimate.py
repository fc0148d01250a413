"""How much work a plan is, counted from the data, and how long it takes here, from a short measurement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from examples.paper.engine import Execution, in_order_of_images, open_run
from examples.paper.sweep import METHODS, PlannedRun
from examples.paper.table import Column, Table
from examples.protocol.runs.duration import Counts, Speed, count, duration, lists_of_views, measure

MEASURED = "Counts are exact. Times are a *model*: a few steps and images measured here, on one device."


@dataclass
class Work:
    """What some runs come to.

    Attributes:
        name: of the method or table they belong to, or "all".
        runs: training runs.
        steps: optimiser steps.
        views: image views to decode and to encode, if runs share nothing.
        shared_views: the same with the feature store.
        stored: bytes in the store.
        seconds: estimated for all of it, if runs share nothing.
        shared_seconds: the same with the feature store.
    """

    name: str
    runs: int = 0
    steps: int = 0
    views: int = 0
    shared_views: int = 0
    stored: int = 0
    seconds: float = 0.0
    shared_seconds: float = 0.0


class Tally:
    """Adds up runs; with the store, a list of image views counts for the first run that has it.

    Args:
        stores: False for runs that keep no features.
    """

    def __init__(self, *, stores: bool = True) -> None:
        self.stores = stores
        self._stored: set[tuple[object, ...]] = set()

    def add(self, work: Work, run: PlannedRun, sizes: Counts, speed: Speed) -> None:
        """Add one run to `work`; `speed.decode` is the time between two decoded views."""
        kept = self.stores and not METHODS[run.config.method].trains_image_side
        steps = run.config.recipe.epochs * max(1, sizes.train // run.config.recipe.batch_size)
        work.runs += 1
        work.steps += steps
        work.seconds += steps * speed.step + speed.once
        work.shared_seconds += steps * speed.step + speed.once
        for key, views, in_step in _views(run, sizes):
            # a trained image tower's part of a step was measured with the step
            seconds = views * (speed.decode + (0.0 if in_step else speed.encode))
            work.views += views
            work.seconds += seconds
            if kept and key in self._stored:
                continue
            self._stored.add(key)
            work.shared_views += views
            work.shared_seconds += seconds
            work.stored += views * sizes.feature if kept else 0


def estimate_plan(planned: Sequence[PlannedRun], execution: Execution) -> list[Work]:
    """Count the work of each method's runs, and measure what it takes on this machine.

    Speeds are measured for each method and variant on the data sets with the fewest and the most classes, and taken
    from the line between.

    Args:
        planned: the runs; their data must be there.
        execution: device, and processes that decode images.
    """
    ordered = in_order_of_images(planned)
    counts = {_data_of(run): count(open_run(run.config, execution)) for run in _one_per_data(ordered)}
    speeds = {
        group: [measure(open_run(run.config, execution)) for run in _ends(runs, counts)]
        for group, runs in _groups(ordered).items()
    }
    works = {method: Work(method) for method in dict.fromkeys(run.config.method for run in planned)}
    tally = Tally()
    for run in ordered:
        sizes = counts[_data_of(run)]
        speed = _between(speeds[run.config.method, run.variant], names_of(run, sizes))
        shared = replace(speed, decode=speed.decode / max(1, execution.workers))
        tally.add(works[run.config.method], run, sizes, shared)
    return list(works.values())


def total(works: Sequence[Work]) -> Work:
    """The sum."""
    names = [name for name in vars(works[0]) if name != "name"]
    return Work("all", **{name: sum(getattr(work, name) for work in works) for name in names})


def table_of(
    name: str, works: Sequence[Work], *, of: str = "method", notes: Sequence[str] = (MEASURED,)
) -> Table:
    """The estimate as a table.

    Args:
        name: what is estimated.
        works: one per line, which the sum follows.
        of: what a line is.
        notes: where counts and times come from.
    """
    columns = (
        Column[Work](of, lambda work: work.name),
        Column[Work]("runs", lambda work: f"{work.runs:,}"),
        Column[Work]("steps", lambda work: f"{work.steps:,}"),
        Column[Work]("image views", lambda work: f"{work.views:,}"),
        Column[Work]("with the store", lambda work: f"{work.shared_views:,}"),
        Column[Work]("GB stored", lambda work: f"{work.stored / 1e9:.2f}"),
        Column[Work]("time", lambda work: duration(work.seconds)),
        Column[Work]("with the store", lambda work: duration(work.shared_seconds)),
    )
    return Table.of(
        name, f"Estimate of {name}", columns, [*works, total(works)], lambda work: [vars(work)], notes
    )


def names_of(run: PlannedRun, sizes: Counts) -> int:
    """Class names whose text features a step computes."""
    return sizes.classes + (run.config.recipe.n_novel if run.config.sar else 0)


def _views(run: PlannedRun, sizes: Counts) -> Iterator[tuple[tuple[object, ...], int, bool]]:
    """Lists of views of a run: a key that equal lists share, how many, and whether they are encoded in the step."""
    method, recipe, data = METHODS[run.config.method], run.config.recipe, _data_of(run)
    encoded = recipe.precision, recipe.test_batch_size
    for epoch in range(lists_of_views(method, recipe)):
        key = (*data, recipe.augmentation, *encoded, run.config.seed, epoch)
        yield key, sizes.train * method.views, method.trains_image_side
    yield (*data, *encoded, "test"), sizes.test, False


def _data_of(run: PlannedRun) -> tuple[object, ...]:
    source = run.config.source
    return source.data, source.dataset, source.split, source.targets, run.config.recipe.shots


def _one_per_data(planned: Sequence[PlannedRun]) -> list[PlannedRun]:
    return list({_data_of(run): run for run in reversed(planned)}.values())[::-1]


def _groups(planned: Sequence[PlannedRun]) -> dict[tuple[str, str], list[PlannedRun]]:
    groups: dict[tuple[str, str], list[PlannedRun]] = {}
    for run in planned:
        groups.setdefault((run.config.method, run.variant), []).append(run)
    return groups


def _ends(runs: Sequence[PlannedRun], counts: dict[tuple[object, ...], Counts]) -> list[PlannedRun]:
    """The runs with the fewest and the most class names; one if they are equal."""
    by_names = sorted(runs, key=lambda run: names_of(run, counts[_data_of(run)]))
    few, many = (counts[_data_of(run)].classes for run in (by_names[0], by_names[-1]))
    return [by_names[0]] if few == many else [by_names[0], by_names[-1]]


def _between(measured: Sequence[Speed], names: int) -> Speed:
    """The speed on the line through the fewest and the most names that were measured."""
    few, many = measured[0], measured[-1]
    share = (names - few.names) / (many.names - few.names) if many.names != few.names else 0.0
    parts = ((getattr(few, part), getattr(many, part)) for part in ("step", "once", "decode", "encode"))
    return Speed(names, *(a + share * (b - a) for a, b in parts))
