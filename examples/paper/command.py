"""`python -m examples.paper table3 --data ROOT`: run what is missing, render what is there."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from examples import testbed
from examples.paper.accuracy_tables import accuracy_table
from examples.paper.cost_table import cost_table
from examples.paper.domain_table import domain_table
from examples.paper.engine import Execution, Failure, execute_run, run_inline, run_isolated, run_on_ray
from examples.paper.figure1 import draw_similarities
from examples.paper.figures import draw_bars, draw_weights
from examples.paper.pack import archives_of
from examples.paper.results import find_runs
from examples.paper.sweep import NAMES, PlannedRun, Sweep, load_sweep, plan
from examples.protocol.cli.errors import one_line_errors
from examples.protocol.cli.progress import Progress
from examples.protocol.data.catalogue import catalogue
from examples.protocol.distributed import choose_device
from examples.protocol.runs.config import Source
from examples.protocol.runs.novel_names import novel_source
from sar_reg.errors import InputError, did_you_mean


@dataclass(frozen=True)
class Options:
    """Reproduce a table or figure of the paper, or `all` of them."""

    what: Annotated[str, tyro.conf.Positional]
    """One of table1 … table5, fig1, fig3, fig4, fig5, calibrate; or all."""
    data: str = "testbed"
    """`testbed`, or the folder with the paper's data sets."""
    out: Path = Path("runs/paper")
    """Folder for run records; finished runs there are not repeated."""
    render: Path | None = None
    """Folder for tables and figures; OUT/rendered by default."""
    records: tuple[Path, ...] = ()
    """More folders or archives (*.jsonl) of finished runs to render from, beside OUT and the repository's."""
    model: str = Source.model
    """open_clip's name of the model; the testbed has its own."""
    pretrained: str = Source.pretrained
    """open_clip's name of the weights, or a file."""
    novel: str = ""
    """Novel names, where the table does not choose them: related or random (WordNet), llm (novel/KEY.llm.json), or a
    file; empty for related."""
    run: bool = True
    """Do the runs that are missing; --no-run renders what is there."""
    descriptions: str = ""
    """Folder with the sentences that CoPrompt reads (dtd_prompt.json …); empty: handcrafted prompts stand in."""
    engine: Literal["inline", "ray"] = "inline"
    """In this process, or across GPUs and machines on Ray."""
    print_commands: bool = False
    """Print one command a run, for another scheduler, and stop."""
    only: int = -1
    """Do only the run of this number in the plan, and render nothing."""
    methods: tuple[str, ...] = ()
    """Only these methods."""
    datasets: tuple[str, ...] = ()
    """Only these data sets."""
    seeds: tuple[int, ...] = ()
    """Only these seeds."""
    epochs: int = 0
    """Another number of epochs than the recipes', for a trial; 0 keeps theirs."""
    device: str = ""
    """cpu, cuda or cuda:N; empty takes a GPU if there is one."""
    workers: int = 0
    """Processes that load images."""
    fresh: bool = False
    """Repeat runs that are finished."""


def main(argv: Sequence[str] | None = None) -> None:
    """The command line; mistakes of the user end in one line."""
    options = tyro.cli(Options, args=argv, prog="python -m examples.paper", description=Options.__doc__)
    with one_line_errors():
        names = NAMES if options.what == "all" else (options.what,)
        failures = [failure for name in names for failure in reproduce(name, options)]
    for failure in failures:
        print(f"failed: {failure.name}, see {failure.log}", file=sys.stderr)
    raise SystemExit(1 if failures else 0)


def reproduce(name: str, options: Options) -> list[Failure]:
    """Run and render one table or figure; returns the runs that failed."""
    sweep = _narrowed(load_sweep(name), options).on(options.data)
    changes = {"epochs": options.epochs} if options.epochs else {}
    origin = {"model": options.model, "pretrained": options.pretrained, "novel": options.novel}
    planned = plan(
        sweep,
        options.data,
        datasets=options.datasets,
        origin=origin,
        descriptions=options.descriptions,
        **changes,
    )
    # A cost is read off a run that had its process to itself, never off another table's run.
    out = options.out / name if sweep.isolated else options.out
    execution = Execution(out, options.device, options.workers, fresh=options.fresh)
    runs_here = options.run and not options.print_commands
    if runs_here and options.data != "testbed" and not Path(options.data).is_dir():
        raise InputError(
            f"there is no folder {options.data}; give --data ROOT, or leave it out for the testbed"
        )
    if options.print_commands:
        print("\n".join(shlex.join(_command(name, number, options)) for number in range(len(planned))))
        return []
    if options.only >= 0:
        if options.only >= len(planned):
            raise InputError(f"--only takes 0 … {len(planned) - 1} here, the runs of {name}")
        failure = execute_run(planned[options.only], execution)
        return [failure] if failure else []
    if runs_here:
        # a mistyped device or a list that is missing is the user's mistake, and not that of every run
        choose_device(options.device)
        for source in dict.fromkeys(run.config.source for run in planned if run.config.source.novel == "llm"):
            novel_source(source, ())
    failures = _run(sweep, planned, execution, options) if options.run else []
    for path in render(sweep, planned, execution, options, failed=bool(failures)):
        print(path)
    return failures


def render(
    sweep: Sweep, planned: list[PlannedRun], execution: Execution, options: Options, *, failed: bool
) -> Iterator[Path]:
    """Write the table or figure from run records; figure 1 not where a run of it `failed`."""
    folder = options.render or options.out / "rendered"
    if sweep.name == "fig1":
        if options.run and not failed:  # it needs the learned tensors, not only the records
            yield from draw_similarities(planned, execution, folder)
        return
    real = options.data != "testbed"
    runs = find_runs(planned, (*archives_of(sweep.name), *options.records, execution.out))
    kind = {"table2": cost_table, "table5": domain_table}.get(sweep.name, accuracy_table)
    yield from kind(sweep, runs, real=real).write(folder)
    if sweep.name in ("fig3", "fig5"):
        yield from draw_bars(sweep, runs, folder)
    if sweep.name == "fig4":
        yield from draw_weights(sweep, runs, folder)


def _run(sweep: Sweep, planned: list[PlannedRun], execution: Execution, options: Options) -> list[Failure]:
    epochs = [run.config.recipe.epochs for run in planned]
    progress = Progress(sum(epochs))
    counted = 0

    def one_more(epoch: int, values: dict[str, float]) -> None:
        nonlocal counted
        counted += 1
        progress.epoch(epoch, values)

    if options.engine == "ray":
        outcomes = run_on_ray(planned, execution, isolated=sweep.isolated)
    elif sweep.isolated:
        outcomes = run_isolated(planned, execution, lambda number: _command(sweep.name, number, options))
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


def _command(name: str, number: int, options: Options) -> list[str]:
    arguments = ["--data", options.data, "--out", str(options.out), "--only", str(number)]
    for flag, values in (
        ("methods", options.methods),
        ("datasets", options.datasets),
        ("seeds", options.seeds),
    ):
        if values:
            arguments += [f"--{flag}", *map(str, values)]
    if options.epochs:
        arguments += ["--epochs", str(options.epochs)]
    for flag in ("model", "pretrained", "novel", "descriptions", "device"):
        if getattr(options, flag) != getattr(Options, flag):
            arguments += [f"--{flag}", getattr(options, flag)]
    if options.fresh:
        arguments.append("--fresh")
    return [sys.executable, "-m", "examples.paper", name, *arguments, "--workers", str(options.workers)]


def _narrowed(sweep: Sweep, options: Options) -> Sweep:
    unknown = set(options.methods) - set(sweep.methods)
    if unknown:
        raise InputError(
            f"{sweep.name} has no method {', '.join(sorted(unknown))}; it has: {', '.join(sweep.methods)}"
        )
    known = testbed.DATASETS if options.data == "testbed" else catalogue()
    for key in options.datasets:
        if key not in known:
            raise InputError(
                f"no data set is called {key!r}; there are: {', '.join(known)}{did_you_mean(key, known)}"
            )
    return replace(sweep, methods=options.methods or sweep.methods, seeds=options.seeds or sweep.seeds)
