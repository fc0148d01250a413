"""PyTorch path for index sets that are not a ring: row blocks of the full similarity matrix."""

from __future__ import annotations

import torch
from torch.utils.checkpoint import checkpoint

from sar_reg.sampled_kl.products import products
from sar_reg.sampled_kl.reference import divergence, result_dtype, unit_rows
from sar_reg.shapes import Float, Int, Tensor
from sar_reg.tracing import transformed

# One block's N columns in fp32: 16 MB, so that the handful alive at once stay small beside a text tower.
_BLOCK_ELEMENTS = 1 << 22


def row_kl(
    learned: Float[Tensor, "classes width"],
    target: Float[Tensor, "classes width"],
    indices: Int[Tensor, "classes samples"] | None,
    temperature: float,
    reverse: bool,
) -> Float[Tensor, " classes"]:
    """KL of each row over `indices`, or over all other classes if None; memory O(N D + block).

    With more than one block, the backward pass computes each block again instead of keeping it.
    """
    n = learned.shape[0]
    dtype = result_dtype(learned, target)
    u, t = unit_rows(learned.to(dtype)), unit_rows(target.to(dtype))
    rows = max(1, _BLOCK_ELEMENTS // n)
    # Transforms of torch.func do not take checkpoint(): there one block holds all.
    if n <= rows or transformed():
        return _block_kl(u, t, indices, 0, n, temperature, reverse)
    blocks = [
        checkpoint(
            _block_kl, u, t, indices, start, min(start + rows, n), temperature, reverse,
            use_reentrant=False, preserve_rng_state=False,
        )
        for start in range(0, n, rows)
    ]  # fmt: skip
    return torch.cat(blocks)


def _block_kl(
    u: Tensor, t: Tensor, indices: Tensor | None, start: int, stop: int, temperature: float, reverse: bool
) -> Tensor:
    log_q = _log_softmax_of_others(u, indices, start, stop, temperature)
    log_p = _log_softmax_of_others(t, indices, start, stop, temperature)
    return divergence(log_p, log_q, reverse)


def _log_softmax_of_others(
    x: Tensor, indices: Tensor | None, start: int, stop: int, temperature: float
) -> Tensor:
    logits = products(x[start:stop], x) / temperature
    if indices is not None:
        return logits.gather(1, indices[start:stop].long()).log_softmax(-1)
    # Exactly zero probability for the class itself; finite, because P (log P - log Q) of infinities is NaN.
    logits.diagonal(start).fill_(torch.finfo(logits.dtype).min / 2)
    return logits.log_softmax(-1)
