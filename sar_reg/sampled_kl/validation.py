"""What the loss accepts, and the messages for what it does not."""

from __future__ import annotations

import math

import torch

from sar_reg.errors import InputError
from sar_reg.sampled_kl.sampling import SAMPLINGS
from sar_reg.shapes import Tensor

REDUCTIONS = ("mean", "sum", "none")
DIRECTIONS = ("target||learned", "learned||target")
IMPLEMENTATIONS = ("auto", "reference", "torch", "triton")


def check_options(
    *, temperature: float | Tensor, sampling: str, reduction: str, direction: str, impl: str
) -> None:
    """Refuse option values that do not exist."""
    for name, value, allowed in (
        ("sampling", sampling, SAMPLINGS),
        ("reduction", reduction, REDUCTIONS),
        ("direction", direction, DIRECTIONS),
        ("impl", impl, IMPLEMENTATIONS),
    ):
        if value not in allowed:
            raise InputError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")
    if isinstance(temperature, Tensor):  # would be read by the host at every call
        raise InputError("temperature must be a number, not a tensor; pass float(1 / logit_scale.exp())")
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(
            f"temperature must be positive and finite (CLIP: 1 / exp(logit_scale)), not {temperature!r}"
        )


def check_sample_size(sample_size: int | None) -> None:
    """Refuse a sample size that is not a positive integer or None."""
    if sample_size is None:
        return
    if type(sample_size) is not int:  # bool is an int, too
        raise InputError(f"sample_size must be an int or None (all other classes), not {sample_size!r}")
    if sample_size < 1:
        raise InputError(f"sample_size must be at least 1, or None for all other classes, not {sample_size}")


def check_features(learned: Tensor, target: Tensor) -> None:
    """Refuse features that cannot be compared class by class."""
    for name, x in (("learned", learned), ("target", target)):
        _check_dense(f"{name} features", "(classes, width)", x)
        if x.ndim != 2:
            raise InputError(f"{name} features must have shape (classes, width), not {tuple(x.shape)}")
        if x.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
            raise InputError(f"{name} features must be floating point, not {x.dtype}; convert with .float()")
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


def _check_dense(name: str, shape: str, x: object) -> None:
    if not isinstance(x, Tensor) or x.layout != torch.strided:
        kind = x.layout if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"{name} must be a dense tensor {shape}, not {kind}")


def check_indices(indices: Tensor, learned: Tensor, sample_size: int | None) -> None:
    """Refuse index sets of the wrong shape; their values are checked where that needs no synchronisation."""
    n = learned.shape[0]
    _check_dense("indices", f"({n}, K)", indices)
    if sample_size is not None:
        raise InputError("give sample_size to draw classes, or indices to bring them, not both")
    if indices.dtype not in (torch.int64, torch.int32) or indices.ndim != 2 or indices.shape[0] != n:
        raise InputError(
            f"indices must be int64 or int32 of shape ({n}, K), one row of other classes per class, "
            f"not {indices.dtype} of shape {tuple(indices.shape)}"
        )
    if indices.shape[1] < 1:
        raise InputError("indices must name at least 1 other class per row, but K is 0")
    if indices.device != learned.device:
        raise InputError(f"indices are on {indices.device} but features on {learned.device}; move them there")
    if indices.device.type == "cpu" and not torch.compiler.is_compiling():
        low, high = (int(bound) for bound in indices.aminmax())
        if low < 0 or high >= n:
            raise InputError(f"indices must lie in 0..{n - 1}, but reach from {low} to {high}")
