"""The work of the paper's tables before data are there: published sizes, and a model of one GPU for the time."""

from __future__ import annotations

from collections.abc import Sequence

from examples.paper.estimate import Tally, Work, names_of, table_of
from examples.paper.options import PaperOptions, narrowed_sweep, planned_runs
from examples.paper.results import settings_key
from examples.paper.sweep import METHODS, PlannedRun
from examples.paper.table import Table
from examples.protocol.data.catalogue import entry_of
from examples.protocol.runs.config import RunConfig
from examples.protocol.runs.duration import Counts, Speed

FEATURES = 512
"""Numbers of an image feature of ViT-B/16."""
FLOPS = 0.4 * 67e12
"""Operations per second: 40 % of an H100 SXM's float32 peak, the recipes' precision."""
VIEW = 35e9
"""Operations of ViT-B/16's image tower for one view of 224 pixels, forward."""
NAME = 5 * 12 * 24 * 512**2
"""Operations of its text tower for one class name, forward: five rows of its own in twelve blocks of width 512."""
LAUNCHES, LAUNCH = (500, 1000), 6e-6
"""Operations sent to the GPU in a step, with the image tower frozen and trained; seconds for each."""
DECODE = 0.010 / 16
"""Seconds between two decoded views: 10 ms for each on 16 cores."""
NOTES = (
    "Runs that a line above has are not counted again, nor are views that the store has from it. Counts follow from "
    "the numbers of classes and images that the data sets' papers print. Assumed: every class has as many training "
    "images as there are shots.",
    "Times are a *model, not run on a GPU*: one H100 with 16 cores, float32 at 40 % of its peak of 67 TFLOP/s; 35 "
    "GFLOP per view and 0.38 GFLOP per class name forward, and as much again backward; at least 6 µs for each of the "
    "500 launches of a step (1,000 with a trained image tower); 10 ms to decode a view on one core, while the GPU "
    "waits. Loading the model and building anchor banks are left out.",
)


def modelled_table(names: Sequence[str], options: PaperOptions) -> Table:
    """The estimate of one table or figure by method, or of several with a line for each."""
    works: dict[str, Work] = {}
    shared, counted = Tally(), set[str]()
    for name in names:
        sweep = narrowed_sweep(name, options)
        tally = Tally(stores=False) if sweep.isolated else shared
        for run in planned_runs(sweep, options):
            line = name if len(names) > 1 else run.config.method
            work = works.setdefault(line, Work(line))
            key = f"{name if sweep.isolated else ''}{settings_key(run.config.settings())}"
            if key not in counted:
                counted.add(key)
                sizes = published_sizes(run.config)
                tally.add(work, run, sizes, modelled_speed(run, sizes))
    title, of = (names[0], "method") if len(names) == 1 else ("the paper's tables", "table or figure")
    return table_of(title, list(works.values()), of=of, notes=NOTES)


def published_sizes(config: RunConfig) -> Counts:
    """Training images, test images, classes trained on and bytes of a feature, from the published numbers.

    Raises:
        InputError: for a data set that is not the benchmark's.
    """
    source, recipe = config.source, config.recipe
    entry = entry_of(source.dataset)
    classes = entry.classes if source.targets else (entry.classes + 1) // 2
    test = sum(entry_of(key).counts[2] for key in (source.dataset, *source.targets))
    return Counts(recipe.shots * classes, test, classes, FEATURES * (4 if recipe.precision == "fp32" else 2))


def modelled_speed(run: PlannedRun, sizes: Counts) -> Speed:
    """Seconds of a run's parts by the model that `NOTES` describes."""
    method, names = METHODS[run.config.method], names_of(run, sizes)
    trained = method.trains_image_side
    # a frozen tower's backward pass is as long as its forward pass; a second view has none
    images = run.config.recipe.batch_size * (1 + method.views) * VIEW if trained else 0
    step = max(LAUNCHES[trained] * LAUNCH, (2 * names * NAME + images) / FLOPS)
    return Speed(names, step, once=names * NAME / FLOPS, decode=DECODE, encode=VIEW / FLOPS)
