"""The ring's backward kernel: each class gathers what it receives as a row and as a column, in one launch."""

# pyright: basic
# Kernel parameters are pointers and numbers of Triton's own language, which has no annotations for them.

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["n", "k"], do_not_specialize_on_alignment=["row_stats_ptr"])
def ring_kl_backward(
    grad_ptr, learned_ptr, order_ptr, cosines_ptr, row_stats_ptr, result_ptr, n, k, width,
    grad_stride, learned_row_stride, learned_stride, result_row_stride, inverse_temperature, scale,
    REVERSE: tl.constexpr, PRECISION: tl.constexpr, ACC: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
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
    scale *= inverse_temperature
    row_weight, row_learned, row_target, row_scale = _row_state(
        grad_ptr, order_ptr, row_stats_ptr, position % n, n, grad_stride
    )
    for first in range(0, ROWS - 1 + k, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        at = (start + 1 + column) % n
        sample = column[None, :] - row[:, None]
        band = (sample >= 0) & (sample < k) & valid[:, None]
        place = (cosines_ptr + position.to(tl.int64) * k)[:, None] + sample
        coefficient, cosine = _gradient_of_cosine(
            place, band, n, k, inverse_temperature, scale * row_weight[:, None],
            row_learned[:, None], row_target[:, None], REVERSE,
        )  # fmt: skip
        along += tl.sum(coefficient * cosine, 1)
        inverse_length = tl.load(row_stats_ptr + 2 * n.to(tl.int64) + at)
        x = _rows(learned_ptr, tl.load(order_ptr + at), learned_row_stride, offset, inside, ACC)
        part = coefficient * inverse_length[None, :]
        received = tl.dot(part, x, received, input_precision=PRECISION, out_dtype=ACC)
    for first in range(0, ROWS - 1 + k, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        at = (start - k + column + n) % n
        sample = k - 1 + row[:, None] - column[None, :]
        band = (sample >= 0) & (sample < k) & valid[:, None]
        place = (cosines_ptr + at.to(tl.int64) * k)[None, :] + sample
        weight, learned_log_sum, target_log_sum, inverse_length = _row_state(
            grad_ptr, order_ptr, row_stats_ptr, at, n, grad_stride
        )
        coefficient, cosine = _gradient_of_cosine(
            place, band, n, k, inverse_temperature, scale * weight[None, :],
            learned_log_sum[None, :], target_log_sum[None, :], REVERSE,
        )  # fmt: skip
        along += tl.sum(coefficient * cosine, 1)
        x = _rows(learned_ptr, tl.load(order_ptr + at), learned_row_stride, offset, inside, ACC)
        part = coefficient * inverse_length[None, :]
        received = tl.dot(part, x, received, input_precision=PRECISION, out_dtype=ACC)

    x = _rows(learned_ptr, row_class, learned_row_stride, offset, inside, ACC)
    gradient = row_scale[:, None] * (received - along[:, None] * row_scale[:, None] * x)
    place = row_class.to(tl.int64)[:, None] * result_row_stride + feature[None, :]
    tl.store(result_ptr + place, gradient, mask=valid[:, None] & inside[None, :])


@triton.jit
def _row_state(grad_ptr, order_ptr, row_stats_ptr, position, n, grad_stride):
    """Upstream gradient, the two log-sum-exps and 1 / length of the classes at ring positions."""
    weight = tl.load(grad_ptr + tl.load(order_ptr + position) * grad_stride)
    learned_log_sum = tl.load(row_stats_ptr + position)
    target_log_sum = tl.load(row_stats_ptr + n + position)
    return weight, learned_log_sum, target_log_sum, tl.load(row_stats_ptr + 2 * n.to(tl.int64) + position)


@triton.jit
def _gradient_of_cosine(
    place, band, n, k, inverse_temperature, weight, learned_log_sum, target_log_sum, REVERSE: tl.constexpr
):
    """Derivative of the weighted KL by the cosine at saved places, and the cosine; off the band the first is 0."""
    # Off the band a cosine of -1, the least there is: its exponential cannot overflow.
    learned_cosine = tl.load(place, mask=band, other=-1.0)
    target_cosine = tl.load(place + n.to(tl.int64) * k, mask=band, other=-1.0)
    log_q = learned_cosine * inverse_temperature - learned_log_sum
    log_p = target_cosine * inverse_temperature - target_log_sum
    slope = tl.exp(log_q) * (log_q - log_p) if REVERSE else tl.exp(log_q) - tl.exp(log_p)
    return tl.where(band, slope * weight, 0.0), learned_cosine


@triton.jit
def _rows(x_ptr, classes, row_stride, offset, inside, ACC: tl.constexpr):
    """Raw features of some classes, upcast exactly."""
    return tl.load(
        x_ptr + classes.to(tl.int64)[:, None] * row_stride + offset[None, :], mask=inside[None, :], other=0.0
    ).to(ACC)
