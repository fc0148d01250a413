"""How long runs take on this machine, from a short measurement of decoding, towers and steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from examples.protocol.data.images import Batch
from examples.protocol.method import PromptMethod
from examples.protocol.recipe import Recipe
from examples.protocol.runs.run import Run
from examples.protocol.schedule import make_optimizer
from examples.protocol.training import train_step

REPEATS, SAMPLE = 3, 32
"""Timed repetitions, of which the fastest counts, and images in a timed list."""
FEW = 4
"""Images in a timed batch on a CPU."""
SLOW = 1.0
"""A pass longer than this is timed once on a CPU."""
LONG = 600
"""Estimates of more seconds also name quicker settings."""
KEPT_VIEWS = 4
"""The number of kept views that is suggested."""


@dataclass(frozen=True)
class Counts:
    """Sizes of a data set at work: training images, test images, classes trained on, bytes of one feature."""

    train: int
    test: int
    classes: int
    feature: int


@dataclass(frozen=True)
class Speed:
    """Seconds for a number of class names: per step, once per run (evaluation), per view decoded, per view encoded."""

    names: int
    step: float
    once: float
    decode: float
    encode: float


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds for all runs as asked, and for those that encode each image less often; these are None if they cannot.

    Attributes:
        method: its name.
        seconds: as asked.
        once: with --augmentation none.
        kept: with --views `KEPT_VIEWS`.
        every_step: whether the method trains the image side.
    """

    method: str
    seconds: float
    once: float | None
    kept: float | None
    every_step: bool

    def __str__(self) -> str:
        """One line for people."""
        line = f"time: about {duration(max(1.0, self.seconds))} on the CPU, from a short measurement"
        if self.seconds <= LONG:
            return line
        quicker = "Fewer --epochs or a lower --n-novel shorten it"
        if self.every_step:
            quicker = (
                f"{self.method} encodes each image in every step. The text-only methods CoOp, KgCoOp and TCP with "
                f"--augmentation none or --views {KEPT_VIEWS} do so only once or {KEPT_VIEWS} times, and usually take "
                f"minutes. {quicker}, too"
            )
        elif self.once is not None and self.kept is not None:
            quicker = (
                f"With --augmentation none each image is encoded once: about {duration(self.once)}; with "
                f"--views {KEPT_VIEWS} ({KEPT_VIEWS} random views of each): about {duration(self.kept)}. {quicker}, too"
            )
        return f"{line}. {quicker}"


def estimate_time(runs: Sequence[Run]) -> TimeEstimate:
    """Measure a step with and without SAR and some images, and add up the runs of one command, zero-shot included.

    Args:
        runs: of one method on one experiment; at least one.
    """
    first = runs[0]
    kind, recipe, workers = first.method_class, first.config.recipe, max(1, first.experiment.workers)
    speeds = {run.config.sar: measure(run) for run in {run.config.sar: run for run in runs}.values()}
    sizes, speed = count(first), speeds[first.config.sar]
    steps = recipe.epochs * max(1, sizes.train // recipe.batch_size)
    fixed = sum(steps * speeds[run.config.sar].step + speeds[run.config.sar].once for run in runs)
    decode = speed.decode / workers
    tests = 1 + len(runs) if kind.trains_image_side else 1
    fixed += tests * sizes.test * (decode + speed.encode)
    view = decode + (0.0 if kind.trains_image_side else speed.encode)  # else measured with the step

    def total(recipe: Recipe) -> float:
        shared = not kind.trains_image_side and (recipe.views or recipe.augmentation == "none")
        passes = len({run.config.seed for run in runs}) if shared else len(runs)
        return fixed + passes * lists_of_views(kind, recipe) * sizes.train * kind.views * view

    fresh = not (kind.trains_image_side or recipe.views or recipe.augmentation == "none")
    once = total(replace(recipe, augmentation="none")) if fresh else None
    kept = total(replace(recipe, views=KEPT_VIEWS)) if fresh else None
    return TimeEstimate(kind.__name__, total(recipe), once, kept, kind.trains_image_side)


def lists_of_views(method: type[PromptMethod], recipe: Recipe) -> int:
    """How many different views of each training image a run decodes and encodes."""
    if method.trains_image_side:
        return recipe.epochs
    return 1 if recipe.augmentation == "none" else min(recipe.epochs, recipe.views or recipe.epochs)


def duration(seconds: float) -> str:
    """Seconds, minutes or hours.

    >>> [duration(s) for s in (4.2, 600, 9000)]
    ['4 s', '10 min', '2.5 h']
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(run: Run) -> Counts:
    """The sizes of a run's data."""
    experiment = run.experiment
    test = sum(len(test.test) for test in experiment.tests.values())
    train = len(experiment.training_set(run.config.seed).train)
    feature = experiment.feature_bytes(run.config.seed, 1) // (train + test)
    return Counts(train, test, len(experiment.classnames), feature)


def measure(run: Run) -> Speed:
    """Time one run's parts: a few steps, evaluation, and some image views."""
    experiment, recipe, method = run.experiment, run.config.recipe, run.build()
    pictures = experiment.pictures(run.config.seed, method.views)
    size = min(SAMPLE, len(pictures))
    decode = _fastest(lambda: [pictures[index] for index in range(size)]) / (size * method.views)
    pixels = torch.stack([pictures[index % len(pictures)][0] for index in range(recipe.batch_size)])
    pixels = pixels.to(experiment.device)
    labels = torch.zeros(recipe.batch_size, dtype=torch.long, device=experiment.device)

    def encode() -> torch.Tensor:
        with torch.no_grad(), method.autocast():
            return method.encode_images(few)

    few = pixels if pixels.is_cuda else pixels[:FEW]  # a CPU takes as long per image in a small batch
    seconds = _fastest(encode) / len(few)
    # any features of the right size: a step takes as long with them
    features = None if method.trains_image_side else encode()[:1].expand(recipe.batch_size, -1).contiguous()
    batch = Batch([pixels] * method.views if features is None else [], labels, features, recipe.batch_size)
    sar, optimizer = run.regulariser(), make_optimizer(method.learned().values(), recipe)
    step = _fastest(lambda: train_step(method, sar, batch, optimizer, recipe))
    names = [method.classnames, *(test.classnames for test in experiment.tests.values())]
    with torch.no_grad():
        evaluation = _fastest(lambda: [method.for_classes(each).encode_text() for each in names])
    return Speed(len(method.classnames), step, evaluation, decode, seconds)


def _fastest(compute: Callable[[], object]) -> float:
    began = time.perf_counter()
    compute()
    took = time.perf_counter() - began
    if took > SLOW and not torch.cuda.is_available():
        return took
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        compute()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times)
