"""How much memory a training step will take, measured on a few classes and images before the run starts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil
import torch

from examples.protocol.method import PromptMethod
from sar_reg.shapes import Tensor

CLASSES = (6, 18)
IMAGES = (1, 3)
GIB = 2**30


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes: the frozen model's weights, what one step keeps for its backward pass, and what is free now."""

    weights: int
    step: int
    free: int

    @property
    def fits(self) -> bool:
        """Whether a step leaves a tenth of the free memory; the weights are loaded already."""
        return self.step < 0.9 * self.free

    def __str__(self) -> str:
        """One line for people."""
        line = (
            f"memory: a step needs about {self.step / GIB:.1f} GiB beside the model's {self.weights / GIB:.1f}; "
            f"{self.free / GIB:.1f} GiB are free"
        )
        if self.fits:
            return line
        return f"{line}. It will hardly fit: raise --accumulate, lower --n-novel, or use precision bf16"


def estimate_step(method: PromptMethod, image_size: int, images: int) -> MemoryEstimate:
    """Run the method's step on few classes and images, and extend it along both: `a + b·N + c·B`.

    Exact for the saved activations of towers that work on classes and images one by one, which all five methods'
    are. On a GPU the measured peak counts, on a CPU the tensors that autograd keeps. Random generators are left
    as they were. SAR's own share, of order N·K numbers, is left out.

    Args:
        method: as built for the run.
        image_size: side of the images in pixels.
        images: images that one process computes at a time: the batch over processes and `accumulate`.
    """
    names, (few, more) = len(method.classnames), CLASSES
    few, more = min(few, names), min(more, names)
    one, two = (min(count, images) for count in IMAGES)
    drawn = random.getstate()
    devices = [method.tower.device] if method.tower.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        start = _measure(_part(method, few), image_size, one)
        per_class = (
            (_measure(_part(method, more), image_size, one) - start) / (more - few) if more > few else 0.0
        )
        per_image = (
            (_measure(_part(method, few), image_size, two) - start) / (two - one) if two > one else 0.0
        )
    random.setstate(drawn)
    step = start + per_class * (names - few) + per_image * (images - one)
    return MemoryEstimate(_size(method.model.parameters()), int(step), free_memory(method.tower.device))


def free_memory(device: torch.device) -> int:
    """Free memory in bytes: of the GPU if there is one, else of the machine."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def _part(method: PromptMethod, n: int) -> PromptMethod:
    """The same method for `n` of its names: short and long ones alike, a base class among them."""
    lengths = (method.tokenizer(list(method.classnames)) != 0).sum(dim=1).tolist()
    by_length = sorted(range(len(lengths)), key=lengths.__getitem__)
    spread = {by_length[round(i * (len(lengths) - 1) / max(n - 1, 1))] for i in range(n)}
    chosen = sorted(spread if any(i < method.n_base for i in spread) else {0, *sorted(spread)[1:]})
    return type(method)(
        method.model,
        method.tokenizer,
        [method.classnames[i] for i in chosen],
        n_base=sum(i < method.n_base for i in chosen),
        recipe=method.recipe,
        dataset=method.dataset,
    )


def _measure(method: PromptMethod, image_size: int, images: int) -> int:
    """Bytes of one step."""
    device = method.tower.device
    views = [torch.zeros(images, 3, image_size, image_size, device=device) for _ in range(method.views)]
    labels = torch.zeros(images, dtype=torch.long, device=device)

    def step() -> Tensor:
        with method.autocast():
            return method.step(views, labels).loss

    if device.type != "cuda":
        frozen = (*method.model.parameters(), *method.model.buffers(), *method.parameters(), *views)
        return kept_by(step, besides=frozen)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step().backward()
    return torch.cuda.max_memory_allocated(device) - before


def kept_by(compute: Callable[[], Tensor], *, besides: Iterable[Tensor] = ()) -> int:
    """Bytes that autograd keeps for the backward pass of what `compute` returns.

    >>> x = torch.ones(100, requires_grad=True)
    >>> kept_by(lambda: (2 * x).exp().sum())
    400
    """
    counted = {tensor.untyped_storage().data_ptr() for tensor in besides}
    kept: list[Tensor] = []  # kept alive, so that no address is used twice while counting
    total = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in counted:
            counted.add(storage.data_ptr())
            kept.append(tensor.detach())
            total += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        compute()
    return total


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
