"""The backward kernel: each class gathers what it receives as a row and as a column, in one launch."""

# pyright: basic
# Kernel parameters are pointers and numbers of Triton's own language, which has no annotations for them.

from __future__ import annotations

import triton
import triton.language as tl

from sar_reg.sampled_kl.kernels.tiles import (
    BACKWARD_TILE,
    accumulator,
    backward_precision,
    backward_registers,
    launch,
)
from sar_reg.shapes import Float, Int, Tensor


def backward(
    grad: Float[Tensor, " classes"],
    learned: Float[Tensor, "classes width"],
    order: Int[Tensor, " classes"],
    row_kl: Float[Tensor, " classes"],
    cosines: Float[Tensor, "2 classes samples"],
    row_stats: Float[Tensor, "3 classes"],
    temperature: float,
    reverse: bool,
) -> Float[Tensor, "classes width"]:
    """Gradient of `(grad * row_kl).sum()` with respect to `learned`; the formula is in `blocked.backward`."""
    n, width = learned.shape
    result = learned.new_empty(learned.shape)  # contiguous, as the operator promises the compiler
    grid = (triton.cdiv(n, BACKWARD_TILE["ROWS"]), triton.cdiv(width, BACKWARD_TILE["WIDTH"]))
    launch(
        ring_kl_backward, grid, learned.device,
        grad, learned, order, row_kl, cosines, row_stats, result, n, cosines.shape[2], width,
        grad.stride(0), learned.stride(0), learned.stride(1), result.stride(0), result.stride(1), 1 / temperature,
        REVERSE=reverse,
        PRECISION=backward_precision(learned.dtype),
        ACC=accumulator(cosines.dtype),
        **BACKWARD_TILE,
        **backward_registers(learned.stride(0)),
    )  # fmt: skip
    return result


@triton.jit(do_not_specialize=["n", "k", "width"])
def ring_kl_backward(
    grad_ptr,
    learned_ptr,
    order_ptr,
    row_kl_ptr,
    cosines_ptr,
    row_stats_ptr,
    result_ptr,
    n,
    k,
    width,
    grad_stride,
    learned_row_stride,
    learned_stride,
    result_row_stride,
    result_stride,
    inverse_temperature,
    REVERSE: tl.constexpr,
    PRECISION: tl.constexpr,
    ACC: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """One program: WIDTH features of ROWS successive ring positions.

    A position a is the row of the pairs (a, a+1 .. a+k) and the column of (a-k .. a-1, a): two windows of the
    ring of ROWS - 1 + k positions each, one that follows position a and one that precedes it.
    """
    row = tl.arange(0, ROWS)
    start = tl.program_id(0) * ROWS
    position = start + row
    valid = position < n
    feature = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = feature < width
    offset = feature.to(tl.int64) * learned_stride
    row_class = tl.load(order_ptr + position % n)

    received = tl.zeros((ROWS, WIDTH), ACC)
    along = tl.zeros((ROWS,), ACC)
    own = _row_state(grad_ptr, order_ptr, row_kl_ptr, row_stats_ptr, position % n, n, grad_stride)
    for first in range(0, ROWS - 1 + k, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        at = (start + 1 + column) % n
        sample = column[None, :] - row[:, None]
        band = (sample >= 0) & (sample < k) & valid[:, None]
        place = (cosines_ptr + position.to(tl.int64) * k)[:, None] + sample
        weight, kl, learned_log_sum, target_log_sum, _ = own
        coefficient, cosine = _gradient_of_cosine(
            place,
            band,
            n,
            k,
            inverse_temperature,
            weight[:, None],
            kl[:, None],
            learned_log_sum[:, None],
            target_log_sum[:, None],
            REVERSE,
        )
        along += tl.sum(coefficient * cosine, 1)
        scale = tl.load(row_stats_ptr + 2 * n.to(tl.int64) + at)
        x = _rows(learned_ptr, tl.load(order_ptr + at), learned_row_stride, offset, inside, ACC)
        received = tl.dot(coefficient * scale[None, :], x, received, input_precision=PRECISION, out_dtype=ACC)
    for first in range(0, ROWS - 1 + k, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        at = (start - k + column + n) % n
        sample = k - 1 + row[:, None] - column[None, :]
        band = (sample >= 0) & (sample < k) & valid[:, None]
        place = (cosines_ptr + at.to(tl.int64) * k)[None, :] + sample
        weight, kl, learned_log_sum, target_log_sum, scale = _row_state(
            grad_ptr, order_ptr, row_kl_ptr, row_stats_ptr, at, n, grad_stride
        )
        coefficient, cosine = _gradient_of_cosine(
            place,
            band,
            n,
            k,
            inverse_temperature,
            weight[None, :],
            kl[None, :],
            learned_log_sum[None, :],
            target_log_sum[None, :],
            REVERSE,
        )
        along += tl.sum(coefficient * cosine, 1)
        x = _rows(learned_ptr, tl.load(order_ptr + at), learned_row_stride, offset, inside, ACC)
        received = tl.dot(coefficient * scale[None, :], x, received, input_precision=PRECISION, out_dtype=ACC)

    x = _rows(learned_ptr, row_class, learned_row_stride, offset, inside, ACC)
    _, _, _, _, scale = own
    gradient = scale[:, None] * (received - along[:, None] * scale[:, None] * x)
    place = (
        row_class.to(tl.int64)[:, None] * result_row_stride + feature.to(tl.int64)[None, :] * result_stride
    )
    tl.store(result_ptr + place, gradient, mask=valid[:, None] & inside[None, :])


@triton.jit
def _row_state(grad_ptr, order_ptr, row_kl_ptr, row_stats_ptr, position, n, grad_stride):
    """Upstream gradient, KL, the two log-sum-exps and 1 / length of the classes at ring positions."""
    classes = tl.load(order_ptr + position)
    weight = tl.load(grad_ptr + classes * grad_stride)
    kl = tl.load(row_kl_ptr + classes)
    learned_log_sum = tl.load(row_stats_ptr + position)
    target_log_sum = tl.load(row_stats_ptr + n + position)
    scale = tl.load(row_stats_ptr + 2 * n.to(tl.int64) + position)
    return weight, kl, learned_log_sum, target_log_sum, scale


@triton.jit
def _gradient_of_cosine(
    place, band, n, k, inverse_temperature,
    weight, kl, learned_log_sum, target_log_sum, REVERSE: tl.constexpr,
):  # fmt: skip
    """Derivative of the weighted KL by the cosine at saved places, and the cosine; off the band the first is 0."""
    # Off the band a cosine of -1, the least there is: its exponential cannot overflow.
    learned_cosine = tl.load(place, mask=band, other=-1.0)
    target_cosine = tl.load(place + n.to(tl.int64) * k, mask=band, other=-1.0)
    log_q = learned_cosine * inverse_temperature - learned_log_sum
    log_p = target_cosine * inverse_temperature - target_log_sum
    slope = tl.exp(log_q) * (log_q - log_p - kl) if REVERSE else tl.exp(log_q) - tl.exp(log_p)
    return tl.where(band, slope * weight * inverse_temperature, 0.0), learned_cosine


@triton.jit
def _rows(x_ptr, classes, row_stride, offset, inside, ACC: tl.constexpr):
    """Raw features of some classes, upcast exactly."""
    return tl.load(
        x_ptr + classes.to(tl.int64)[:, None] * row_stride + offset[None, :], mask=inside[None, :], other=0.0
    ).to(ACC)
