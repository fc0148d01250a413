"""The command of every method: train with and without SAR over seeds, compare, keep records and a picture."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch

from examples.protocol.captured_step import refuse_without_gpu
from examples.protocol.cli.errors import goes_on, one_line_errors, read_options
from examples.protocol.cli.pictures import draw_comparison
from examples.protocol.cli.progress import Progress
from examples.protocol.cli.table import JOINT_HEADS, ResultRow, as_text, joint_rows_of, rows_of
from examples.protocol.data.features import FeatureStore
from examples.protocol.data.transforms import pixels_of
from examples.protocol.distributed import ProcessGroup, choose_device
from examples.protocol.method import PromptMethod
from examples.protocol.recipe import OF_METHODS, Recipe, load_recipe
from examples.protocol.runs.config import RunConfig, RunSource, check_resources, check_seeds
from examples.protocol.runs.duration import estimate_time
from examples.protocol.runs.experiment import NO_STORE, Experiment, ExperimentSettings
from examples.protocol.runs.handcrafted import zero_shot_record
from examples.protocol.runs.memory import MemoryEstimate, estimate_step
from examples.protocol.runs.novel_names import check_novel
from examples.protocol.runs.record import Record
from examples.protocol.runs.run import Run, describe_bank, features_of
from sar_reg.errors import InputError, counted, require

tyro: Any = require("tyro", extra="examples")


@dataclass(frozen=True)
class MethodOptions:
    """What to run and where to put it."""

    source: Annotated[RunSource, tyro.conf.OmitArgPrefixes]
    recipe: Annotated[Recipe, tyro.conf.OmitArgPrefixes]
    protocol: str = ""
    """Table of the method's recipe.toml: the settings below are its; empty for testbed, else paper."""
    sar: bool = True
    """Train with SAR too, for comparison; --no-sar trains the method alone."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Seeds, one run each; they decide shots, order of images, sampled classes and random starts."""
    out: Path = Path("runs")
    """Folder for run records, learned tensors and the picture; finished runs there are not repeated."""
    fresh: bool = False
    """Repeat runs that are already finished, and the zero-shot accuracy; kept image features are used again."""
    save_every: int = 1
    """Epochs between checkpoints, from which an interrupted run goes on; 0 keeps none."""
    device: str = ""
    """cpu, cuda or cuda:N; empty takes a GPU if there is one."""
    workers: int = 0
    """Processes that load images."""
    cuda_graph: bool = False
    """Replay forward and backward of each step as CUDA graphs: fewer launches, on a GPU only."""
    tensorboard: bool = False
    """Write the curves for TensorBoard as well, under OUT/tensorboard."""
    json: bool = False
    """Print the result as JSON instead of a table."""


OF_SAR = {"--lam", "--sample-size", "--n-novel", "--novel", "--sampling", "--direction", "--reduction"}
"""Options of the SAR loss alone."""


@dataclass(frozen=True)
class DefaultsSelector:
    """The options that decide which settings are the defaults of all others."""

    dataset: str = ""
    data: str = "testbed"
    protocol: str = ""


def main(method: type[PromptMethod], recipe: Path, argv: Sequence[str] | None = None) -> None:
    """The command line of a method; mistakes of the user end in one line.

    Args:
        method: the method's class.
        recipe: its recipe.toml.
        argv: arguments, those of the process by default.
    """
    with one_line_errors():
        options = parse(method, recipe, argv)
    with one_line_errors(goes_on(fresh=options.fresh)):
        compare(method, options)


def parse(method: type[PromptMethod], recipe: Path, argv: Sequence[str] | None) -> MethodOptions:
    """Read the command line; the defaults are those of the chosen data set's recipe."""
    name = method.__name__
    chosen, _ = read_options(DefaultsSelector, argv, return_unknown_args=True, add_help=False)
    on_testbed = chosen.data == "testbed"
    if not chosen.dataset and not on_testbed:
        raise InputError(f"pass --dataset as well, such as --data {chosen.data} --dataset dtd")
    dataset = chosen.dataset or "animals"
    protocol = chosen.protocol or ("testbed" if on_testbed else "paper")
    default = MethodOptions(
        source=RunSource(dataset=dataset, data=chosen.data),
        recipe=load_recipe(recipe, protocol, dataset),
        protocol=protocol,
    )
    options: MethodOptions = read_options(
        MethodOptions,
        argv,
        default=default,
        prog=f"python -m examples.{name.lower()}",
        description=f"Train {name} with and without SAR, and compare accuracies on base and new classes.\n\n"
        "Without arguments: on the images and the small CLIP that come with the repository.\n\n"
        f"Your own images: python -m examples.{name.lower()} --data FOLDER --dataset NAME",
    )
    refuse_idle_options(method, options, given_options(sys.argv[1:] if argv is None else argv))
    check_novel(options.source.novel)
    method.check(options.recipe)
    return options


def given_options(argv: Sequence[str]) -> set[str]:
    """The options on a command line, as they are documented.

    >>> sorted(given_options(["--lam=0.5", "--n_novel", "3"]))
    ['--lam', '--n-novel']
    """
    return {word.partition("=")[0].replace("_", "-") for word in argv if word.startswith("--")}


def refuse_idle_options(method: type[PromptMethod], options: MethodOptions, given: set[str]) -> None:
    """Refuse options that change nothing beside the others, whatever their value.

    Args:
        method: the method's class.
        options: what was read.
        given: the options on the command line.

    Raises:
        InputError: naming the option and why it has no effect.
    """
    own = [f"--{name.replace('_', '-')}" for name in OF_METHODS if name in method.uses]
    for name in sorted(given & ({f"--{name.replace('_', '-')}" for name in OF_METHODS} - set(own))):
        raise InputError(f"{name} does not apply to {method.__name__}; its options are {', '.join(own)}")
    idle = (
        (not options.sar, "--no-sar, which trains without the SAR loss", OF_SAR),
        (options.recipe.optimizer == "sgd", "--optimizer sgd", {"--adam-eps"}),
        (options.source.data != "testbed", "--data FOLDER, since it is the testbed's", {"--split"}),
        (bool(options.source.targets), "--targets, which trains on all classes", {"--base-classes"}),
    )
    for applies, why, names in idle:
        if applies and (found := sorted(given & names)):
            raise InputError(f"{found[0]} has no effect with {why}; leave one of them out")
    if options.source.final and len(options.seeds) > 1 and "--seeds" in given:
        raise InputError("--final trains once: pass one seed with --seeds")


def compare(method: type[PromptMethod], options: MethodOptions) -> None:
    """Do the runs that are not finished, then print the comparison and draw the picture."""
    if not options.seeds:
        raise InputError("--seeds takes one whole number or more, such as --seeds 1 2 3")
    check_seeds(options.seeds)
    check_resources(options.workers, options.out)
    if options.save_every < 0:
        raise InputError(f"--save-every must be 0 or more, not {options.save_every}")
    device = choose_device(options.device)
    if options.cuda_graph:
        refuse_without_gpu(device, options.recipe)
    group = ProcessGroup.join(device)
    store = FeatureStore(options.out / "features") if options.recipe.views else NO_STORE
    settings = ExperimentSettings.of(options.recipe)
    experiment = Experiment(options.source, settings, device, workers=options.workers, store=store)
    runs = list_runs(method, options, experiment)
    missing = [run for run in runs if options.fresh or run.finished() is None]
    if missing and device.type == "cpu" and group.size == 1:
        print(estimate_time(missing), file=sys.stderr, flush=True)
    if options.tensorboard and len(missing) < len(runs):
        print("--tensorboard shows no curves of finished runs; --fresh repeats them", file=sys.stderr)
    if group.first:
        for note in getattr(experiment.dataset, "notes", ()):
            print(note, file=sys.stderr)
    if options.source.final:
        records = do_runs(runs, options, group)
        if group.first:
            report = as_last_fit(experiment, runs[0], records[0])
            print(json.dumps({"records": records}) if options.json else report)
        group.leave()
        return
    handcrafted = zero_shot_record(experiment, options.out, group, fresh=options.fresh)
    records = [handcrafted, *do_runs(runs, options, group)]
    if group.first:
        rows = rows_of(records)
        picture = draw(runs, experiment, rows, options.out) if "new" in experiment.tests else None
        print(as_json(records, picture) if options.json else as_report(experiment, runs, records, picture))
    group.leave()


def list_runs(method: type[PromptMethod], options: MethodOptions, experiment: Experiment) -> list[Run]:
    """The method alone, then with SAR, over the seeds; with `--final` only with SAR and the first seed."""
    kinds = (False, True) if options.sar else (False,)
    cells = [
        RunConfig(method.__name__, options.source, options.recipe, seed, sar)
        for sar in (kinds[-1:] if options.source.final else kinds)
        for seed in (options.seeds[:1] if options.source.final else options.seeds)
    ]
    return [
        Run(
            method,
            config,
            experiment,
            options.out,
            save_every=options.save_every,
            cuda_graph=options.cuda_graph,
            measure_sar=options.sar,
        )
        for config in cells
    ]


def do_runs(runs: Sequence[Run], options: MethodOptions, group: ProcessGroup) -> list[Record]:
    """The record of each run, from its file if it is finished."""
    progress = Progress(len(runs) * options.recipe.epochs, shown=group.first)
    records = []
    for run in runs:
        if options.fresh and group.first:
            run.forget()
        group.wait()
        record = run.finished()
        if record is None:
            if group.first and options.source.data != "testbed" and not records:
                print(estimate(run, group), file=sys.stderr)
            progress.run(f"{run.config.title}, seed {run.config.seed}")
            record = run.start(group=group, on_epoch=progress.epoch, tensorboard=options.tensorboard)
            progress.skip(record["resumed_at_epoch"])
        else:
            progress.skip(options.recipe.epochs)
        records.append(record)
    progress.close()
    return records


def estimate(run: Run, group: ProcessGroup) -> MemoryEstimate:
    """The memory that a step of the run takes in each process."""
    images = math.ceil(run.config.recipe.batch_size / (group.size * run.config.recipe.accumulate))
    return estimate_step(run.build(), pixels_of(run.experiment.model).size, images)


def draw(runs: Sequence[Run], experiment: Experiment, rows: Sequence[ResultRow], out: Path) -> Path:
    """The picture of the first seed's learned similarities and of all accuracies."""
    names = tuple(name for test in experiment.tests.values() for name in test.classnames)
    handcrafted = torch.cat([experiment.zero_shot_rows(test) for test in experiment.tests.values()])
    first = [run for run in runs if run.config.seed == runs[0].config.seed]
    maps = [("handcrafted prompts", handcrafted)]
    maps += [(run.config.title, features_of(run.load(), names)) for run in first]
    config = runs[0].config
    path = out / f"{config.source.dataset}-{config.method.lower()}.png"
    temperature = experiment.temperature
    return draw_comparison(path, maps, len(experiment.classnames), rows, temperature=temperature)


def as_json(records: Sequence[Record], picture: Path | None) -> str:
    """Accuracies by title with their means, for programs."""
    rows = [
        {"title": row.title, "seeds": row.seeds}
        | {name: None if math.isnan(value) else value for name, value in row.values.items()}
        for row in rows_of(records)
    ]
    return json.dumps({"rows": rows, "records": records, "picture": str(picture) if picture else None})


def as_last_fit(experiment: Experiment, run: Run, record: Record) -> str:
    """What a last fit has made, for people."""
    expected = f", expecting {len(experiment.held_out)} more" if experiment.held_out else ""
    sar = about_sar(experiment, run.config.recipe)[:2] if run.config.sar else []
    classes, images = len(experiment.classnames), record["training"]["images"]
    sizes = f"{counted(classes, 'class')}{expected}, {counted(images, 'image')}"
    return "\n".join(
        (
            f"{experiment.source.dataset}: {run.config.title}, trained on {sizes}; nothing was measured, since all "
            "images were trained on",
            *sar,
            f"record: {run.files.record}",
            f"classify photos: python -m examples.classify {run.files.record} IMAGES",
        )
    )


def as_report(
    experiment: Experiment, runs: Sequence[Run], records: Sequence[Record], picture: Path | None
) -> str:
    """The comparison for people."""
    recipe = runs[0].config.recipe
    sizes = ", ".join(
        counted(len(test.classnames), f"{name} class") for name, test in experiment.tests.items()
    )
    trained = f"{counted(recipe.shots, 'shot')}, {counted(recipe.epochs, 'epoch')}"
    lines = [f"{experiment.source.dataset}: {sizes}; {trained}", "", as_text(rows_of(records)), ""]
    if joint := joint_rows_of(records):
        lines += [
            "base and new classes in one list (generalized zero-shot):",
            as_text(joint, JOINT_HEADS),
            "",
        ]
    if any(run.config.sar for run in runs):
        lines += about_sar(experiment, recipe)
    lines.append(f"records: {runs[0].files.record.parent}")
    if "new" in experiment.tests:
        best = next((run for run in runs if run.config.sar), runs[0])
        lines.append(f"classify photos: python -m examples.classify {best.files.record} IMAGES")
    if picture is not None:
        lines.append(f"picture: {picture}")
    return "\n".join(lines)


def about_sar(experiment: Experiment, recipe: Recipe) -> list[str]:
    """Weight and sizes of SAR, the novel classes that were found, and new classes among them."""
    bank = experiment.bank
    names, asked = bank.n_base + bank.n_novel, recipe.sample_size
    others = (
        f"{counted(asked, 'other')} drawn in each step"
        if 0 < asked < names - 1
        else f"all {counted(names - 1, 'other')}"
    )
    if asked > names - 1:
        others += f"\n(fewer than the --sample-size of {asked})"
    outcome = bank.provenance.get("outcome", {})
    words = f"novel classes: {bank.n_novel}"
    if bank.n_novel != recipe.n_novel and experiment.source.novel != "oracle":
        words += f", all that were found; --n-novel asked for {recipe.n_novel}"
    file = bank.provenance.get("file")
    if file and bank.provenance.get("words", 0) > bank.n_novel:
        words += f"; {file} holds {counted(bank.provenance['words'], 'name')}"
    overlap = describe_bank(experiment)["overlap_with_held_out"]
    left_out = outcome.get("dropped", {}).get("excluded", 0)
    return [
        f"SAR: weight {recipe.lam:g}; each of {names} classes is compared with {others}",
        words,
        f"new classes among the novel names: {len(overlap)}; left out of them: {left_out}",
    ]
