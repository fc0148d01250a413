"""One table or figure from its plan to its files: do the missing runs, render the finished ones."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from examples.paper.accuracy_tables import accuracy_table
from examples.paper.cost_table import cost_table
from examples.paper.domain_table import domain_table
from examples.paper.engine import (
    Execution,
    Failure,
    execute_run,
    in_order_of_images,
    open_run,
    run_inline,
    run_isolated,
    run_on_ray,
)
from examples.paper.estimate import estimate_plan, table_of, total
from examples.paper.figure1 import draw_similarities
from examples.paper.figures import draw_bars, draw_weights
from examples.paper.joint_table import joint_table
from examples.paper.options import PaperOptions, command_of, narrowed_sweep, planned_runs
from examples.paper.pack import archives_of
from examples.paper.results import find_runs, group_of
from examples.paper.sweep import PlannedRun, Sweep
from examples.protocol.cli.progress import Progress
from examples.protocol.distributed import SINGLE_PROCESS, choose_device
from examples.protocol.recipe import Value
from examples.protocol.runs.archive import find_records
from examples.protocol.runs.handcrafted import zero_shot_record
from examples.protocol.runs.novel_names import novel_source
from sar_reg.errors import InputError, SarRegError

MANY_EPOCHS, LONG = 1000, 600
"""Epochs from which a plan is estimated, and estimated seconds from which the estimate is printed."""


def reproduce(
    name: str,
    options: PaperOptions,
    changes: Mapping[str, Value] = MappingProxyType({}),
    *,
    isolate: bool = True,
) -> list[Failure]:
    """Run and render one table or figure; returns the runs that failed.

    Args:
        name: the table or figure.
        options: the command line's.
        changes: settings of every run's recipe to change.
        isolate: give each run a process of its own where the sweep asks for it.
    """
    sweep = narrowed_sweep(name, options)
    planned = planned_runs(sweep, options, changes)
    # runs whose time and memory are compared have a process of their own and share no features
    out = options.out / name if sweep.isolated else options.out
    execution = Execution(
        out,
        options.device,
        options.workers,
        fresh=options.fresh,
        store=options.out / "features" if options.store and not sweep.isolated else None,
        runs_per_gpu=1 if sweep.isolated else options.runs_per_gpu,
    )
    runs_here = options.run and not options.print_commands
    if runs_here and options.data != "testbed" and not Path(options.data).is_dir():
        raise InputError(
            f"there is no folder {options.data}; give --data ROOT, or leave it out for the testbed"
        )
    if options.print_commands:
        print("\n".join(shlex.join(command_of(name, number, options)) for number in range(len(planned))))
        return []
    if options.estimate:
        print(table_of(name, estimate_plan(planned, execution)).markdown())
        return []
    if options.only >= 0:
        if options.only >= len(planned):
            raise InputError(f"--only takes 0 … {len(planned) - 1} here, the runs of {name}")
        failure = execute_run(planned[options.only], execution)
        return [failure] if failure else []
    if runs_here:
        # a mistyped device or a missing list is reported once here, not by every run
        choose_device(options.device)
        for source in dict.fromkeys(run.config.source for run in planned if run.config.source.novel == "llm"):
            novel_source(source, ())
        announce(name, planned, execution)
    isolated = sweep.isolated and isolate
    ordered = planned if sweep.isolated else in_order_of_images(planned)
    failures = _run(sweep, ordered, execution, options, isolated=isolated) if options.run else []
    if sweep.name == "joint" and runs_here:
        _run_zero_shot(planned, execution)
    for path in render(sweep, planned, execution, options, failed=bool(failures)):
        print(path)
    return failures


def announce(name: str, planned: list[PlannedRun], execution: Execution) -> None:
    """Print the estimate of the missing runs to stderr if they take more than ten minutes."""
    found = find_runs(planned, [execution.out])
    missing = [run for run in planned if run.config.seed not in found[group_of(run.config, run.variant)]]
    if sum(run.config.recipe.epochs for run in missing) < MANY_EPOCHS:
        return
    try:
        works = estimate_plan(missing, execution)
    except SarRegError as error:  # for instance of one data set: its runs will fail and the others will not
        print(f"{name}: no estimate: {error}", file=sys.stderr)
        return
    if total(works).seconds > LONG:
        print(table_of(name, works).markdown(), file=sys.stderr)


def render(
    sweep: Sweep, planned: list[PlannedRun], execution: Execution, options: PaperOptions, *, failed: bool
) -> Iterator[Path]:
    """Write the table or figure from run records; skip figure 1 if one of its runs `failed`."""
    folder = options.render or options.out / "rendered"
    if sweep.name == "fig1":
        if options.run and not failed:  # it needs the learned tensors, not only the records
            yield from draw_similarities(planned, execution, folder)
        elif not options.run:
            print(
                "fig1 is left out: it is drawn from learned tensors, which --no-run does not make",
                file=sys.stderr,
            )
        return
    real = options.data != "testbed"
    places = (*archives_of(sweep.name), *options.records, execution.out)
    runs = find_runs(planned, places)
    if sweep.name == "joint":
        found = [
            record for place in places for record in find_records(place) if record["method"] == "zero-shot"
        ]
        yield from joint_table(sweep, runs, found, real=real).write(folder)
        return
    kind = {"table2": cost_table, "table5": domain_table}.get(sweep.name, accuracy_table)
    yield from kind(sweep, runs, real=real).write(folder)
    if sweep.name in ("fig3", "fig5"):
        yield from draw_bars(sweep, runs, folder)
    if sweep.name == "fig4":
        yield from draw_weights(sweep, runs, folder)


def _run_zero_shot(planned: list[PlannedRun], execution: Execution) -> None:
    """The records of the handcrafted prompts on the data sets of a plan."""
    first = {run.config.source.dataset: run.config for run in reversed(planned)}
    for config in first.values():
        zero_shot_record(open_run(config, execution).experiment, execution.out, SINGLE_PROCESS)


def _run(
    sweep: Sweep, planned: list[PlannedRun], execution: Execution, options: PaperOptions, *, isolated: bool
) -> list[Failure]:
    epochs = [run.config.recipe.epochs for run in planned]
    progress = Progress(sum(epochs))
    if planned:
        progress.run(f"{sweep.name}, {planned[0].name}")
    counted = 0

    def one_more(epoch: int, values: dict[str, float]) -> None:
        nonlocal counted
        counted += 1
        progress.epoch(epoch, values)

    if options.engine == "ray":
        outcomes = run_on_ray(planned, execution, isolated=isolated)
    elif isolated:
        outcomes = run_isolated(planned, execution, lambda number: command_of(sweep.name, number, options))
    else:
        outcomes = run_inline(planned, execution, one_more)
    failures, due = [], 0
    for number, outcome in enumerate(outcomes):
        due += epochs[number]
        progress.skip(due - counted)  # finished earlier, elsewhere, or not at all
        counted = due
        if number + 1 < len(planned):
            progress.run(f"{sweep.name}, {planned[number + 1].name}")
        if outcome is not None:
            failures.append(outcome)
    progress.close()
    return failures
