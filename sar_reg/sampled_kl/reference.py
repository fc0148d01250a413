"""The equations, written to be read: the oracle of the tests and of the documentation."""

from __future__ import annotations

import math

import torch

from sar_reg.shapes import Float, Int, Tensor


def unit_rows(x: Float[Tensor, "classes width"]) -> Float[Tensor, "classes width"]:
    """Each row divided by its length; a zero row stays zero, with zero gradient."""
    x = x / power_of_two(x.detach())
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / length.masked_fill(length == 0, math.inf)


def result_dtype(learned: Tensor, target: Tensor) -> torch.dtype:
    """float64 if an input is, else float32: half precision is upcast before anything is summed."""
    return torch.float64 if torch.float64 in (learned.dtype, target.dtype) else torch.float32


def power_of_two(x: Float[Tensor, "classes width"]) -> Float[Tensor, "classes one"]:
    """The power of two near each row's largest entry (1 for zeros): divided by it, no square over- or underflows."""
    largest = torch.linalg.vector_norm(x, math.inf, dim=-1, keepdim=True)
    return (largest / (2 * torch.frexp(largest).mantissa)).masked_fill(largest == 0, 1)


def row_kl(
    learned: Float[Tensor, "classes width"],
    target: Float[Tensor, "classes width"],
    indices: Int[Tensor, "classes samples"],
    temperature: float,
    reverse: bool,
) -> Float[Tensor, " classes"]:
    """KL between the two similarity distributions of each class over its sampled classes (paper, eq. 4, 5).

    logits_ij = cos(x_i, x_j) / τ for j in S_i;  P = softmax of target's, Q = softmax of learned's;
    KL_i = Σ_j P_ij (log P_ij - log Q_ij), with P and Q exchanged if `reverse`.
    Gathers (N, K, D): for sizes at which clarity matters more than memory.
    """
    dtype = result_dtype(learned, target)
    u, t = unit_rows(learned.to(dtype)), unit_rows(target.to(dtype))
    log_q = (u[:, None] * u[indices]).sum(-1).div(temperature).log_softmax(-1)
    log_p = (t[:, None] * t[indices]).sum(-1).div(temperature).log_softmax(-1)
    return divergence(log_p, log_q, reverse)


def divergence(
    log_p: Float[Tensor, "classes samples"], log_q: Float[Tensor, "classes samples"], reverse: bool
) -> Float[Tensor, " classes"]:
    """`Σ P (log P - log Q)`, with P and Q exchanged if `reverse`."""
    if reverse:
        log_p, log_q = log_q, log_p
    return (log_p.exp() * (log_p - log_q)).sum(-1)
