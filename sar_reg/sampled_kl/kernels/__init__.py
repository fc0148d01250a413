"""The operation as Triton kernels: one launch draws, one goes forward, one backward; without atomics.

Imported only if it is used, so that the package does not need Triton. The sets are a ring, given by its circular
order, or independent, an index set per row; see `sampling.is_ring`.
"""

from __future__ import annotations

import torch
import triton

from sar_reg.sampled_kl.kernels import tiles
from sar_reg.sampled_kl.kernels.draw import RING_TILE, draw_sets, ring_order, sets_tile
from sar_reg.sampled_kl.kernels.ring_backward import ring_kl_backward
from sar_reg.sampled_kl.kernels.ring_forward import ring_kl_forward
from sar_reg.sampled_kl.kernels.sets_backward import dense_backward, gather_backward
from sar_reg.sampled_kl.kernels.sets_forward import sets_kl_forward
from sar_reg.sampled_kl.reference import result_dtype
from sar_reg.sampled_kl.sampling import is_ring
from sar_reg.shapes import Float, Int, Tensor

__all__ = ["backward", "draw", "forward", "saved_count"]


def draw(n: int, k: int | None, step: Int[Tensor, ""] | None, offset: int, device: torch.device) -> Tensor:
    """Independent sets (n, k) in int32, or the order of a ring (n,) as of `sampling.ring_order` without k."""
    size, dtype = ((n,), torch.int64) if k is None else ((n, k), torch.int32)
    drawn = torch.empty(size, dtype=dtype, device=device)
    tensors, has_step = (drawn if step is None else step, drawn), step is not None
    if k is not None:
        tiles.launch(draw_sets, (n,), device, *tensors, n, k, offset, HAS_STEP=has_step, **sets_tile(n, k))
        return drawn
    grid, rank = (triton.cdiv(n, RING_TILE["ROWS"]),), n <= tiles.RANKED_CLASSES
    tiles.launch(ring_order, grid, device, *tensors, n, offset, HAS_STEP=has_step, RANK=rank, **RING_TILE)
    return drawn if rank else drawn.argsort(stable=True)


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
    """KL per class, and what the backward pass needs; see `operator.sampled_kl`.

    Of a ring: the cosines (2, N, k) in ring order; log-sum-exps and 1 / length (3, N).
    Of independent sets: the derivative of a row's KL by each of its cosines, and that times the cosine, as two (N, N)
    matrices up to `DENSE_CLASSES`, as two lists (N, k) above; 1 / length and a sum (2, N).
    """
    (n, width), ring = learned.shape, is_ring(sets)
    dtype = result_dtype(learned, target)
    columns = k if ring else tiles.saved_columns(n, k)
    row_kl, saved = (learned.new_empty(size, dtype=dtype) for size in (n, saved_count(sets, k)))
    tensors = learned, target, target if gram is None else gram, sets, row_kl, saved, saved[2 * n * columns :]
    numbers = *learned.stride(), *target.stride(), 1 / temperature, 1 / n if mean else 1.0
    constants = {"REVERSE": reverse, "KEPT": gram is not None, "ACC": tiles.accumulator(dtype)}
    if ring:
        tile, precision = tiles.RING_FORWARD, tiles.forward_precision
        tiles.launch(
            ring_kl_forward, (triton.cdiv(n, tile["ROWS"]),), learned.device, *tensors, n, k, width, *numbers,
            LEARNED_PRECISION=precision(learned.dtype), TARGET_PRECISION=precision(target.dtype), **constants, **tile,
        )  # fmt: skip
    else:
        tiles.launch(
            sets_kl_forward, (n,), learned.device, *tensors, n, k, width, columns, *numbers,
            DENSE=n <= tiles.DENSE_CLASSES, **constants, **tiles.SETS_FORWARD,
        )  # fmt: skip
    return row_kl, saved


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
    """Gradient of `(grad * KL).sum()` with respect to `learned`; the formula is in `torch_ring.backward`.

    Of independent sets up to `DENSE_CLASSES`: one tensor-core product with both directions of the saved matrices.
    Above, a stable sort of the drawn classes lists the pairs that each class is the column of; memory O(N k).
    """
    (n, width), ring = learned.shape, is_ring(sets)
    device, dense = learned.device, n <= tiles.DENSE_CLASSES
    result = learned.new_empty(learned.shape)  # contiguous, as the operator promises the compiler
    strides = grad.stride(0), *learned.stride(), result.stride(0)
    scale = 1 / n if mean else 1.0
    columns = k if ring else tiles.saved_columns(n, k)
    row_stats, accumulated = saved[2 * n * columns :], tiles.accumulator(saved.dtype)
    if not ring and not dense:
        drawn, order = sets.view(-1).sort(stable=True)
        bounds = torch.searchsorted(drawn, torch.arange(n + 1, dtype=drawn.dtype, device=device))
        tile = tiles.gather_backward_tile(width)
        tiles.launch(
            gather_backward, (n, triton.cdiv(width, tile["WIDTH"])), device,
            grad, learned, row_stats, sets, saved, order, bounds, result, n, k, width, *strides, scale,
            ACC=accumulated, **tile,
        )  # fmt: skip
        return result
    stride = learned.stride(0)
    tile = (
        tiles.ring_backward_tile(learned.dtype, stride, tiles.capability(device))
        if ring
        else tiles.dense_backward_tile(n, stride)
    )
    grid = triton.cdiv(n, tile["ROWS"]), triton.cdiv(width, tile["WIDTH"])
    constants = {"PRECISION": tiles.backward_precision(learned.dtype), "ACC": accumulated, **tile}
    if ring:
        tiles.launch(
            ring_kl_backward, grid, device, grad, learned, sets, saved, row_stats, result, n, k, width,
            *strides, 1 / temperature, scale, REVERSE=reverse, **constants,
        )  # fmt: skip
    else:
        tiles.launch(
            dense_backward, grid, device, grad, learned, row_stats, saved, result, n, width, columns,
            *strides, scale, **constants,
        )  # fmt: skip
    return result


def saved_count(sets: Int[Tensor, " classes *samples"], k: int) -> int:
    """How many numbers `forward` saves: two per pair (dense: of all classes), and some per row."""
    n = sets.shape[0]
    return n * (2 * k + 3 if is_ring(sets) else 2 * tiles.saved_columns(n, k) + 2)
