"""A rehearsal: the plan of a table at full size on made-up images and a small random CLIP, before the real data.

Class lists, loaders, word lists, methods and rendering are the real ones. Images, weights and accuracies are not.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialize

from examples.paper.engine import Failure
from examples.paper.options import PaperOptions, given_options, narrowed_sweep, planned_runs
from examples.paper.reproduce import reproduce
from examples.paper.sweep import PlannedRun
from examples.protocol.data import Numbers, numbers_of, open_dataset
from examples.protocol.data.catalogue import SHIFTED
from examples.protocol.data.fabricate import declare, fabricate, names_of
from examples.protocol.recipe import Value
from sar_reg.errors import InputError, counted, require
from sar_reg.files import write_atomic

MODEL = "sar-reg-rehearsal"
TOWER = {"layers": 12, "width": 32}  # as many blocks as ViT-B/16, which MaPLe, CoPrompt and TCP count on
CONFIG = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {**TOWER, "image_size": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {**TOWER, "context_length": 77, "vocab_size": 49408, "heads": 2},
}
IMAGES: Mapping[str, tuple[int, int, int]] = {"imagenet": (1, 0, 1), **dict.fromkeys(SHIFTED, (0, 0, 1))}
"""Train, val and test images per class if there are 1,000 classes; the others have `FEW`."""
FEW = (2, 1, 2)
RECIPE: Mapping[str, Value] = {"epochs": 1, "batch_size": 2048}
"""One epoch of one step."""


KEPT = frozenset(
    {"what", "rehearse", "novel", "descriptions", "methods", "datasets", "seeds", "device", "workers"}
)
"""Options that a rehearsal takes; it makes its own data, model and output."""


def rehearse(names: Sequence[str], options: PaperOptions) -> list[Failure]:
    """Do the plans of tables and figures on made-up data at full size and render them.

    Returns:
        The runs that failed. Everything is removed if there are none, and if the rehearsal is interrupted or
        terminated.

    Raises:
        InputError: for an option that has no effect here.
    """
    refused = [flag for name, flag in given_options(options).items() if name not in KEPT]
    if refused:
        raise InputError(
            f"--rehearse makes data, model and output of its own; leave out {', '.join(refused)}"
        )
    began, folder = time.perf_counter(), Path(tempfile.mkdtemp(prefix="sar-reg-rehearsal-"))
    try:
        with _raised_signals():
            covered, failures = _rehearse_in(folder, names, options)
    except TerminatedError as error:
        shutil.rmtree(folder)
        print(f"terminated; {folder} is removed", file=sys.stderr, flush=True)
        signal.raise_signal(error.number)  # ends the process as if it had not been caught
        raise SystemExit(128 + error.number) from None
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        print(f"stopped; {folder} is removed, and the same command starts again", file=sys.stderr)
        raise SystemExit(130) from None
    except BaseException:
        shutil.rmtree(folder)
        raise
    seconds = time.perf_counter() - began
    if failures:
        print(f"rehearsal: {counted(len(failures), 'run')} failed; {folder} is kept", file=sys.stderr)
        return failures
    shutil.rmtree(folder)
    print(f"rehearsed {', '.join(names)}: {covered}. {seconds:.0f} s; {folder} is removed")
    return []


class TerminatedError(BaseException):
    """The process was asked to end; a `BaseException`, so that no run takes it for its own failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _raised_signals() -> Generator[None]:
    """Raise `TerminatedError` for SIGTERM and SIGHUP where they would end the process; undone at the end."""

    def stop(number: int, frame: object) -> None:
        raise TerminatedError(number)

    ending: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():  # others cannot set handlers
        known = [signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        ending = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]
    for number in ending:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ending:
            signal.signal(number, signal.SIG_DFL)


def _rehearse_in(folder: Path, names: Sequence[str], options: PaperOptions) -> tuple[str, list[Failure]]:
    """What was covered, in words, and the runs that failed."""
    options = replace(options, data=str(folder / "data"), out=folder / "runs", model=MODEL)
    plans = {name: planned_runs(narrowed_sweep(name, options), options) for name in names}
    everything = [run for planned in plans.values() for run in planned]
    stage = set_up(folder, datasets_of(everything))
    options = replace(options, pretrained=str(stage.weights))
    failures: list[Failure] = []
    for name in names:
        print(f"{name}: {coverage(plans[name], stage)}", flush=True)
        failures += reproduce(name, options, RECIPE, isolate=False)
    return coverage(everything, stage), failures


@dataclass(frozen=True)
class Stage:
    """What stands in for the paper's data and model.

    Attributes:
        data: folder with all data sets.
        weights: the model's weights.
        classes: data set → number of classes.
    """

    data: Path
    weights: Path
    classes: Mapping[str, int]


def set_up(folder: Path, datasets: Sequence[str]) -> Stage:
    """Make the data sets, each with all its classes, and the model; register the model with open_clip."""
    data, numbers = folder / "data", dict[str, Numbers]()
    for key in datasets:
        fabricate(data, key, images=IMAGES.get(key, FEW), names=names_of(key, 1000))
        numbers[key] = numbers_of(open_dataset(key, data, verify=False))
    declare(data, numbers)
    classes = {key: counts[0] for key, counts in numbers.items()}
    return Stage(data, write_small_clip(folder / "model"), classes)


def write_small_clip(folder: Path, config: Mapping[str, Any] = CONFIG) -> Path:
    """Write a CLIP with random weights, register its configuration with open_clip, and return the weights' file."""
    open_clip: Any = require("open_clip", extra="examples")
    open_clip.add_model_config(write_atomic(folder / f"{MODEL}.json", json.dumps(config)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**config)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return write_atomic(folder / f"{MODEL}.safetensors", serialize(tensors))


def datasets_of(planned: Sequence[PlannedRun]) -> list[str]:
    """All data sets that the runs read."""
    return list(
        dict.fromkeys(
            key for run in planned for key in (run.config.source.dataset, *run.config.source.targets)
        )
    )


def coverage(planned: Sequence[PlannedRun], stage: Stage) -> str:
    """What the runs covered, in words."""
    runs = dict.fromkeys(run.config for run in planned)
    methods = ", ".join(dict.fromkeys(run.method for run in runs))
    seeds = ", ".join(map(str, sorted({run.seed for run in runs})))
    sets = ", ".join(f"{key} ({stage.classes[key]:,})" for key in datasets_of(planned))
    return f"{counted(len(runs), 'run')} of {methods}, seeds {seeds}; data sets (classes): {sets}"
