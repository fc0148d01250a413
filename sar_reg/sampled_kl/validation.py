"""What the loss accepts, and the messages for what it does not."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch

from sar_reg.checks import positive_temperature, whole_number
from sar_reg.errors import InputError
from sar_reg.shapes import Int, Tensor

Sampling = Literal["ring", "independent"]
Reduction = Literal["mean", "sum", "none"]
Direction = Literal["target||learned", "learned||target"]
Implementation = Literal["auto", "reference", "torch", "triton"]

_ALLOWED: dict[str, tuple[str, ...]] = {
    "sampling": get_args(Sampling),
    "reduction": get_args(Reduction),
    "direction": get_args(Direction),
    "impl": get_args(Implementation),
}


class Options(NamedTuple):
    """What the function and the module are asked for alike; see `similarity_alignment_loss`."""

    temperature: float
    seed: int
    sampling: Sampling
    reduction: Reduction
    direction: Direction
    impl: Implementation


def check_options(
    temperature: object,
    seed: object,
    sampling: Sampling,
    reduction: Reduction,
    direction: Direction,
    impl: Implementation,
) -> Options:
    """The options, if each has a value that exists."""
    check_choices(sampling=sampling, reduction=reduction, direction=direction, impl=impl)
    seed = whole_number(seed, "seed", least=None)
    return Options(positive_temperature(temperature), seed, sampling, reduction, direction, impl)


def check_choices(**choices: str) -> None:
    """Refuse words that are not among those of an option."""
    for name, value in choices.items():
        if value not in _ALLOWED[name]:
            allowed = ", ".join(map(repr, _ALLOWED[name]))
            raise InputError(f"{name} must be one of {allowed}, not {value!r}")


def check_sample_size(sample_size: int | None, n: int) -> int:
    """How many of the `n - 1` other classes are compared with each."""
    if sample_size is None:
        return n - 1
    k = whole_number(sample_size, "sample_size", least=1, otherwise=", or None for all other classes")
    return min(k, n - 1)


ONE_CLASS = (
    "each class is compared with one other class, so both distributions are 1 and the loss and its gradient are 0 "
    "for any features; use at least 3 classes (add novel ones) and sample_size of at least 2"
)


def check_features(learned: Tensor, target: Tensor) -> None:
    """Refuse features that cannot be compared class by class."""
    for name, x in (("learned", learned), ("target", target)):
        check_rows(f"{name} features", "(classes, width)", x)
    check_pair(learned, target)


def check_rows(name: str, shape: str, x: Tensor) -> None:
    """Refuse what is not a matrix of features, a row for each class."""
    check_dense(name, shape, x)
    if x.ndim != 2:
        raise InputError(f"{name} must have shape {shape}, not {tuple(x.shape)}")
    if x.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        raise InputError(f"{name} must be floating point, not {x.dtype}; convert with .float()")


def check_pair(learned: Tensor, target: Tensor) -> None:
    """Refuse two matrices of features that do not belong together."""
    if learned.shape != target.shape:
        raise InputError(
            f"learned features have shape {tuple(learned.shape)} but target has {tuple(target.shape)}; both "
            f"need one row per class in the same order (base and novel), and the same width"
        )
    if learned.shape[0] < 2:
        raise InputError(f"similarities between classes need at least 2 classes, not {learned.shape[0]}")
    if learned.shape[1] < 1:
        raise InputError("features must be at least 1 wide")
    if learned.device != target.device:
        raise InputError(
            f"learned features are on {learned.device} but target is on {target.device}; move one with .to()"
        )
    if target.requires_grad:
        raise InputError("target is the frozen side and must not require grad; pass target.detach()")


def check_dense(name: str, shape: str, x: object) -> None:
    """Refuse what is not an ordinary tensor."""
    if not isinstance(x, Tensor) or x.is_nested or x.layout != torch.strided:
        kind = type(x).__name__ if not isinstance(x, Tensor) else "a nested one" if x.is_nested else x.layout
        raise InputError(f"{name} must be a dense tensor {shape}, not {kind}")


def check_indices(
    indices: Int[Tensor, "classes samples"], learned: Tensor, sample_size: int | None
) -> Int[Tensor, "classes samples"]:
    """Refuse index sets that do not fit; on a GPU their values are checked there, without synchronisation."""
    n = learned.shape[0]
    check_dense("indices", f"({n}, K)", indices)
    if sample_size is not None:
        raise InputError("pass sample_size to draw classes, or indices to choose them, not both")
    if indices.dtype not in (torch.int64, torch.int32) or indices.ndim != 2 or indices.shape[0] != n:
        raise InputError(
            f"indices must be int64 or int32 of shape ({n}, K), one row of other classes per class, "
            f"not {indices.dtype} of shape {tuple(indices.shape)}"
        )
    if indices.shape[1] < 1:
        raise InputError("indices must name at least 1 other class per row, but K is 0")
    if indices.device != learned.device:
        raise InputError(f"indices are on {indices.device} but features on {learned.device}; move them there")
    own = indices == torch.arange(n, device=indices.device)[:, None]
    itself = "indices must name other classes only, but some row holds the class itself"
    if indices.device.type != "cpu" or torch.compiler.is_compiling():
        torch._assert_async(~own.any(), itself)  # pyright: ignore
        return indices
    low, high = (int(bound) for bound in indices.aminmax())
    if low < 0 or high >= n:
        raise InputError(f"indices must lie in 0..{n - 1}, but reach from {low} to {high}")
    if own.any():
        row = int(own.any(dim=1).nonzero()[0])
        raise InputError(f"{itself} (row {row}); remove it, since cos(x, x) is always 1")
    # Tensors of inference mode cannot be saved for backward.
    return indices.clone() if indices.is_inference() else indices


def check_step(step: object, device: torch.device) -> int | Int[Tensor, ""]:
    """The step as an int, or its tensor, which the host does not read."""
    if not isinstance(step, Tensor):
        return whole_number(step, "step", least=None, otherwise=" or a 0-d int64 tensor")
    if step.dtype != torch.int64 or step.ndim:
        raise InputError(
            f"a step in a tensor must be int64 of shape (), not {step.dtype} of shape {tuple(step.shape)}"
        )
    if step.device.type != device.type or device.index not in (None, step.device.index):
        raise InputError(f"step is on {step.device}, but the classes are drawn on {device}; move it there")
    return step
