"""One table or figure from its plan to its files: do the missing runs, render the finished ones."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
from examples.paper.options import PUBLISHED, PaperOptions, command_of, narrowed_sweep, planned_runs
from examples.paper.pack import archives_of
from examples.paper.results import find_runs, group_of
from examples.paper.sweep import PlannedRun, Sweep
from examples.protocol.cli.progress import Progress
from examples.protocol.distributed import SINGLE_PROCESS, choose_device
from examples.protocol.recipe import Value
from examples.protocol.runs.archive import find_records
from examples.protocol.runs.handcrafted import zero_shot_record
from examples.protocol.runs.log import OnEpoch
from examples.protocol.runs.novel_names import novel_source
from sar_reg.errors import InputError, SarRegError, counted

MANY_EPOCHS, LONG = 1000, 600
"""Epochs from which a plan is estimated, and estimated seconds from which the estimate is printed."""


@dataclass(frozen=True)
class Job:
    """One table or figure: the runs it needs, and where they compute.

    Attributes:
        sweep: what it compares.
        planned: its runs, numbered by their places.
        execution: device and folders.
        options: the command line's.
    """

    sweep: Sweep
    planned: list[PlannedRun]
    execution: Execution
    options: PaperOptions

    @classmethod
    def of(cls, name: str, options: PaperOptions, changes: Mapping[str, Value] = MappingProxyType({})) -> Job:
        """The job that the options ask for; `changes` are settings of every run's recipe to change."""
        sweep = narrowed_sweep(name, options)
        # runs whose time and memory are compared have a process of their own and share no features
        execution = Execution(
            options.out / name if sweep.isolated else options.out,
            options.device,
            options.workers,
            fresh=options.fresh,
            store=options.out / "features" if options.store and not sweep.isolated else None,
            runs_per_gpu=1 if sweep.isolated else options.runs_per_gpu,
        )
        return cls(sweep, planned_runs(sweep, options, changes), execution, options)


def reproduce(
    name: str,
    options: PaperOptions,
    changes: Mapping[str, Value] = MappingProxyType({}),
    *,
    isolate: bool = True,
) -> list[Failure]:
    """Run and render one table or figure, or the part of it that the options name; returns the runs that failed.

    Args:
        name: the table or figure.
        options: the command line's.
        changes: settings of every run's recipe to change.
        isolate: run each run in its own process, if the sweep asks for it.
    """
    job, failures = Job.of(name, options, changes), list[Failure]()
    if options.run and not options.print_commands:
        _check_data(options)
    if options.print_commands:
        print_commands(job)
    elif options.estimate:
        print(table_of(name, estimate_plan(job.planned, job.execution)).markdown())
    elif options.only >= 0:
        failures = run_one(job, options.only)
    else:
        failures = run_missing(job, isolate=isolate) if options.run else []
        for path in render(job, failed=bool(failures)):
            print(path)
    return failures


def print_commands(job: Job) -> None:
    """Print the command of each run."""
    for number in range(len(job.planned)):
        print(shlex.join(command_of(job.sweep.name, number, job.options)))


def run_one(job: Job, number: int) -> list[Failure]:
    """Do the run of this number in the plan.

    Raises:
        InputError: if there is none.
    """
    if number >= len(job.planned):
        raise InputError(f"--only takes 0 … {len(job.planned) - 1} here, the runs of {job.sweep.name}")
    failure = execute_run(job.planned[number], job.execution)
    return [failure] if failure else []


def run_missing(job: Job, *, isolate: bool = True) -> list[Failure]:
    """Do the runs that are not finished, with one estimate before and one progress line; returns those that failed."""
    _check_once(job)
    announce(job)
    failures = _run(job, isolated=job.sweep.isolated and isolate)
    if job.sweep.name == "joint":
        _run_zero_shot(job)
    return failures


def _check_data(options: PaperOptions) -> None:
    if options.data != "testbed" and not Path(options.data).is_dir():
        raise InputError(
            f"there is no folder {options.data}; pass --data ROOT, or leave it out for the testbed"
            f"{'; with --data published, pass --estimate' if options.data == PUBLISHED else ''}"
        )


def _check_once(job: Job) -> None:
    """Report a mistyped device or a missing list once, not with every run."""
    choose_device(job.execution.device)
    for source in dict.fromkeys(run.config.source for run in job.planned if run.config.source.novel == "llm"):
        novel_source(source, ())


def announce(job: Job) -> None:
    """Print the estimate of the missing runs to stderr if they take more than ten minutes."""
    name, missing = job.sweep.name, _missing(job)
    if sum(run.config.recipe.epochs for run in missing) < MANY_EPOCHS:
        return
    try:
        works = estimate_plan(missing, job.execution)
    except SarRegError as error:  # for instance of one data set: its runs will fail and the others will not
        print(f"{name}: no estimate: {error}", file=sys.stderr)
        return
    if total(works).seconds > LONG:
        print(table_of(name, works).markdown(), file=sys.stderr)


def _missing(job: Job) -> list[PlannedRun]:
    """The runs that will be done: those that are not finished, or all with --fresh."""
    if job.execution.fresh:
        return job.planned
    found = find_runs(job.planned, [job.execution.out])
    return [run for run in job.planned if run.config.seed not in found[group_of(run.config, run.variant)]]


def render(job: Job, *, failed: bool) -> Iterator[Path]:
    """Write the table or figure from run records; skip figure 1 if one of its runs `failed`."""
    sweep, options = job.sweep, job.options
    folder = options.render or options.out / "rendered"
    if sweep.name == "fig1":
        yield from _render_similarities(job, folder, failed=failed)
        return
    places = (*archives_of(sweep.name), *options.records, job.execution.out)
    runs, real = find_runs(job.planned, places), options.data != "testbed"
    missing = len(job.planned) - sum(map(len, runs.values()))
    if missing and not options.run:
        print(
            f"{sweep.name}: {missing} of {counted(len(job.planned), 'run')} not found: *not run* in the table; without "
            "--no-run they are done",
            file=sys.stderr,
        )
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


def _render_similarities(job: Job, folder: Path, *, failed: bool) -> Iterator[Path]:
    """Figure 1, which needs the learned tensors and not only the records."""
    if not job.options.run:
        print(
            "fig1 is left out: it is drawn from learned tensors, which --no-run does not make",
            file=sys.stderr,
        )
    elif not failed:
        yield from draw_similarities(job.planned, job.execution, folder)


def _run_zero_shot(job: Job) -> None:
    """The records of the handcrafted prompts on the data sets of a plan."""
    first = {run.config.source.dataset: run.config for run in reversed(job.planned)}
    for config in first.values():
        experiment = open_run(config, job.execution).experiment
        zero_shot_record(experiment, job.execution.out, SINGLE_PROCESS, fresh=job.execution.fresh)


def _run(job: Job, *, isolated: bool) -> list[Failure]:
    """Do the runs, those that share images after each other, with one progress line."""
    # the numbers of isolated runs are those of their commands
    planned = job.planned if job.sweep.isolated else in_order_of_images(job.planned)
    epochs = [run.config.recipe.epochs for run in planned]
    titles = [*(f"{job.sweep.name}, {run.name}" for run in planned), ""]
    progress, failures = Progress(sum(epochs)), list[Failure]()
    progress.run(titles[0])
    for number, outcome in enumerate(_outcomes(job, planned, progress.epoch, isolated=isolated), start=1):
        progress.skip(sum(epochs[:number]) - progress.done)  # finished earlier, elsewhere, or not at all
        progress.run(titles[number])
        failures += [outcome] if outcome else []
    progress.close()
    return failures


def _outcomes(
    job: Job, planned: list[PlannedRun], on_epoch: OnEpoch, *, isolated: bool
) -> Iterator[Failure | None]:
    """The outcome of each run, from the engine that the options name."""
    if job.options.engine == "ray":
        return run_on_ray(planned, job.execution, isolated=isolated)
    if isolated:
        return run_isolated(
            planned, job.execution, lambda number: command_of(job.sweep.name, number, job.options)
        )
    return run_inline(planned, job.execution, on_epoch)
