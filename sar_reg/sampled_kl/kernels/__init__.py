"""The operation as Triton kernels: one launch draws, one goes forward, one backward; without atomics.

Imported only when it is to run, so that the package does not need Triton. The sets are a ring if their tensor has one
dimension (its circular order), and independent if it has two (an index set per row).
"""

from __future__ import annotations

import torch

from sar_reg.sampled_kl.kernels import draw as _draw
from sar_reg.sampled_kl.kernels import ring_backward, ring_forward, sets_backward, sets_forward
from sar_reg.sampled_kl.kernels.tiles import saved_columns
from sar_reg.shapes import Float, Int, Tensor

__all__ = ["backward", "draw", "forward", "saved_count"]


def draw(n: int, k: int, step: Int[Tensor, ""] | None, offset: int, device: torch.device) -> Tensor:
    """The ring's order (n,) if k is 0, else independent sets (n, k)."""
    return _draw.sets(n, k, step, offset, device) if k else _draw.ring(n, step, offset, device)


def forward(
    learned: Float[Tensor, "classes width"],
    target: Float[Tensor, "classes width"],
    gram: Float[Tensor, "classes classes"] | None,
    sets: Int[Tensor, " classes *samples"],
    k: int,
    temperature: float,
    mean: bool,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """KL per class, and what the backward pass needs; see `operator.sampled_kl`."""
    run = ring_forward.forward if sets.ndim == 1 else sets_forward.forward
    return run(learned, target, gram, sets, k, temperature, mean, reverse)


def backward(
    grad: Float[Tensor, " classes"],
    learned: Float[Tensor, "classes width"],
    sets: Int[Tensor, " classes *samples"],
    saved: Float[Tensor, " numbers"],
    k: int,
    temperature: float,
    mean: bool,
    reverse: bool,
) -> Float[Tensor, "classes width"]:
    """Gradient of `(grad * KL).sum()` with respect to `learned`."""
    if sets.ndim == 1:
        return ring_backward.backward(grad, learned, sets, saved, k, temperature, mean, reverse)
    return sets_backward.backward(grad, learned, sets, saved, k, mean)


def saved_count(n: int, k: int, ring: bool) -> int:
    """How many numbers `forward` saves: two per pair (dense: of all classes), and some per row."""
    return n * (2 * k + 3 if ring else 2 * saved_columns(n, k) + 2)
