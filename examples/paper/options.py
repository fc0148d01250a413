"""The options of `python -m examples.paper`, and the runs that they ask for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import tyro

from examples import testbed
from examples.paper.sweep import PlannedRun, Sweep, load_sweep, plan
from examples.protocol.data.catalogue import catalogue
from examples.protocol.recipe import Value
from examples.protocol.runs.config import RunSource, check_distinct, check_resources, check_seeds
from sar_reg.errors import InputError, did_you_mean

PUBLISHED = "published"
"""The value of --data for an estimate without data."""
_RUNNING = ("engine", "runs_per_gpu", "store")
WITHOUT_EFFECT: Mapping[str, tuple[str, ...]] = {
    "print_commands": ("estimate", "only", "run", "render", "records", "engine", "runs_per_gpu"),
    "estimate": ("only", "run", "fresh", "render", "records", *_RUNNING),
    PUBLISHED: ("out", "model", "pretrained", "descriptions", "device", "workers"),
    "run": ("only", "fresh", "device", "workers", *_RUNNING),
    "only": ("render", "records", "engine", "runs_per_gpu"),
}
"""What the command does → options that it does not read."""


@dataclass(frozen=True)
class PaperOptions:
    """Reproduce a table or figure of the paper, or `all` of them."""

    what: Annotated[str, tyro.conf.Positional]
    """One of table1 … table5, fig1, fig3, fig4, fig5, calibrate, joint; or all."""
    data: str = "testbed"
    """`testbed`, or the folder with the paper's data sets."""
    out: Path = Path("runs/paper")
    """Folder for run records; finished runs there are not repeated."""
    render: Path | None = None
    """Folder for tables and figures; OUT/rendered by default."""
    records: tuple[Path, ...] = ()
    """More folders or archives (*.jsonl) of finished runs to render from, beside OUT and the repository's."""
    model: str = RunSource.model
    """open_clip's name of the model; the testbed has its own."""
    pretrained: str = RunSource.pretrained
    """open_clip's name of the weights, or a file."""
    novel: str = ""
    """Novel names, if the table does not choose them: related or random (WordNet), llm (novel/KEY.llm.json), or a
    file; empty for related."""
    run: bool = True
    """Do the missing runs; --no-run renders the finished ones."""
    descriptions: str = ""
    """Folder with the sentences that CoPrompt reads (dtd_prompt.json …); empty: handcrafted prompts stand in."""
    engine: Literal["inline", "ray"] = "inline"
    """In this process, or across GPUs and machines on Ray."""
    print_commands: bool = False
    """Print one command per run, for another scheduler, and stop."""
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
    """Processes that load images, for a run; with --engine ray for each GPU, divided between its runs."""
    fresh: bool = False
    """Repeat runs that are finished; kept image features are used again."""
    store: bool = True
    """Keep image features in OUT/features for all runs that see the same images; --no-store keeps none."""
    runs_per_gpu: int = 1
    """With --engine ray: runs at the same time on one GPU, which share its --workers."""
    estimate: bool = False
    """Print how long the plan takes on this machine, from a short measurement, and stop. With --data published: without
    data, from the published sizes of the data sets and a model of one GPU."""
    rehearse: bool = False
    """Do the plan on made-up images of all classes with a small random CLIP, one step per run, then remove it all."""


def check_options(options: PaperOptions) -> None:
    """Refuse options out of range, and those that have no effect beside the others.

    Raises:
        InputError: naming the option.
    """
    for name, least in (("runs_per_gpu", 1), ("epochs", 0)):
        if getattr(options, name) < least:
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} must be {least} or more, not {getattr(options, name)}")
    if options.only < PaperOptions.only:
        raise InputError(f"--only takes the number of a run, 0 or more, not {options.only}")
    check_resources(options.workers, options.out)
    check_seeds(options.seeds)
    check_distinct("--methods", [method.casefold() for method in options.methods])
    check_distinct("--datasets", options.datasets)
    for place in options.records:
        if not place.exists():
            raise InputError(f"there are no runs at {place}; --records takes folders and archives (*.jsonl)")
    _refuse_without_effect(options)
    if not options.run and options.what == "fig1":
        raise InputError(
            "fig1 is drawn from the learned tensors of its runs and not from records; leave out --no-run"
        )
    if options.only >= 0 and options.what == "all":
        raise InputError("--only takes a run of one table or figure; name it instead of all")
    if options.runs_per_gpu > 1 and options.engine != "ray":
        raise InputError(
            "--runs-per-gpu has no effect without --engine ray; pass it as well, or leave both out"
        )


def _refuse_without_effect(options: PaperOptions) -> None:
    given = given_options(options)
    modes = [mode for mode in WITHOUT_EFFECT if mode in given]
    if options.estimate and options.data == PUBLISHED:
        modes.append(PUBLISHED)
    for mode in modes:
        for name in WITHOUT_EFFECT[mode]:
            if name in given:
                with_what = f"--estimate --data {mode}" if mode == PUBLISHED else given[mode]
                raise InputError(f"{given[name]} has no effect with {with_what}; leave one of them out")


def given_options(options: PaperOptions) -> dict[str, str]:
    """The options that are not at their defaults → what they are called on the command line."""
    names = [f.name for f in fields(PaperOptions) if getattr(options, f.name) != f.default]
    negated = {name for name in names if getattr(PaperOptions, name, None) is True}
    return {name: f"--{'no-' if name in negated else ''}{name.replace('_', '-')}" for name in names}


def narrowed_sweep(name: str, options: PaperOptions) -> Sweep:
    """The sweep of a table or figure, with the methods and seeds that are asked for.

    Raises:
        InputError: for a table, method or data set that does not exist.
    """
    sweep = load_sweep(name)
    folded = {method.casefold(): method for method in sweep.methods}
    for name in options.methods:
        if name.casefold() not in folded:
            has = f"it has: {', '.join(sweep.methods)}{did_you_mean(name, sweep.methods)}"
            raise InputError(f"{sweep.name} has no method {name}; {has}")
    methods = tuple(folded[name.casefold()] for name in options.methods)
    known = testbed.DATASETS if options.data == "testbed" else catalogue()
    for key in options.datasets:
        if key not in known:
            raise InputError(
                f"no data set is called {key!r}; there are: {', '.join(known)}{did_you_mean(key, known)}"
            )
    chosen = replace(sweep, methods=methods or sweep.methods, seeds=options.seeds or sweep.seeds)
    return chosen.on(options.data)


def planned_runs(
    sweep: Sweep, options: PaperOptions, changes: Mapping[str, Value] = MappingProxyType({})
) -> list[PlannedRun]:
    """The runs of a sweep with the model, words and data sets that are asked for.

    Args:
        sweep: the sweep.
        options: the command line's.
        changes: settings of every run's recipe to change.
    """
    epochs = {"epochs": options.epochs} if options.epochs else {}
    return plan(
        sweep,
        options.data,
        datasets=options.datasets,
        origin={"model": options.model, "pretrained": options.pretrained, "novel": options.novel},
        descriptions=options.descriptions,
        **epochs,
        **changes,
    )


def command_of(name: str, number: int, options: PaperOptions) -> list[str]:
    """The command that does one run of the plan in a process of its own."""
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
        if getattr(options, flag) != getattr(PaperOptions, flag):
            arguments += [f"--{flag}", getattr(options, flag)]
    if options.fresh:
        arguments.append("--fresh")
    if not options.store:
        arguments.append("--no-store")
    return [sys.executable, "-m", "examples.paper", name, *arguments, "--workers", str(options.workers)]
