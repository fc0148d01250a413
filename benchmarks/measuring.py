"""Measure CPU seconds of one thread and memory (kept and peak), and describe the machine."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Measured:
    """The median of several forward and backward passes (or forward passes alone, `backward_s` 0).

    `p20_s` and `p80_s` are percentiles of the seconds of all passes.
    """

    forward_s: float
    backward_s: float
    kept_mb: float
    peak_mb: float
    wall_s: float
    p20_s: float = 0.0
    p80_s: float = 0.0

    @property
    def seconds(self) -> float:
        """Forward and backward together."""
        return self.forward_s + self.backward_s


def measure(run: Callable[[], Tensor], *, model: nn.Module, repeats: int, learn: bool = True) -> Measured:
    """The median of `repeats` passes; seconds are CPU time of this process, which runs one thread.

    Args:
        run: returns the features.
        model: its weights do not count as memory kept for backward.
        repeats: how often to run.
        learn: run backward too.
    """
    torch.set_num_threads(1)
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    passes: list[Measured] = []
    for _ in range(repeats):
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with peak_growth() as growth:
            wall, start = time.perf_counter(), time.process_time()
            with (
                torch.set_grad_enabled(learn),
                torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            ):
                features = run()
            middle = time.process_time()
            if learn:
                features.square().sum().backward()
            end = time.process_time()
            wall = time.perf_counter() - wall
            del features
        backward = end - middle if learn else 0.0
        passes.append(Measured(middle - start, backward, sum(kept.values()) / 1e6, growth[0], wall))
    passes.sort(key=lambda found: found.seconds)
    p20, p80 = (passes[round(share * (repeats - 1))].seconds for share in (0.2, 0.8))
    return replace(passes[(repeats - 1) // 2], p20_s=p20, p80_s=p80)


@contextmanager
def peak_growth() -> Generator[list[float]]:
    """Growth of the process's resident set in the context, in MB: the only element of the list, set at the end.

    Freed memory is first returned to the system, because reusing it would not be seen as growth. A thread reads
    the size every millisecond, which adds a little to the CPU time in the context.
    """
    gc.collect()
    with contextlib.suppress(AttributeError):  # C libraries other than glibc
        ctypes.CDLL(None).malloc_trim(0)
    before = _resident()
    highest, growth, done = [before], [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            highest[0] = max(highest[0], _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield growth
    finally:
        done.set()
        watcher.join()
        growth[0] = (max(highest[0], _resident()) - before) / 1e6


def _resident() -> int:
    """Resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def machine() -> dict[str, Any]:
    """The machine, and its load."""
    import open_clip

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads used": 1,
        "load average": [round(x, 1) for x in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def frozen_clip() -> nn.Module:
    """ViT-B/16 with QuickGELU and random weights: time and memory do not depend on their values."""
    import open_clip

    torch.manual_seed(0)
    return open_clip.create_model("ViT-B-16-quickgelu", pretrained=None).eval().requires_grad_(False)


def class_names(count: int) -> list[str]:
    """The first ImageNet names."""
    import open_clip

    return list(open_clip.IMAGENET_CLASSNAMES[:count])
