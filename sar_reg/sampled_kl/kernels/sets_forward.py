"""The forward kernel for independent sets: one row a program, which gathers its partners in tiles."""

# pyright: basic, reportArgumentType=false, reportInvalidTypeForm=false, reportGeneralTypeIssues=false
# Kernel parameters are pointers and numbers of Triton's own language, which has no annotations for them.

from __future__ import annotations

import triton
import triton.language as tl

from sar_reg.sampled_kl.kernels.softmax import LEAST, add_chunk, kl_of_sums, length


@triton.jit(do_not_specialize=["n", "k"], do_not_specialize_on_alignment=["row_stats_ptr"])
def sets_kl_forward(
    learned_ptr, target_ptr, gram_ptr, indices_ptr, row_kl_ptr, saved_ptr, row_stats_ptr, n, k, width, columns,
    learned_row_stride, learned_stride, target_row_stride, target_stride, inverse_temperature, scale,
    REVERSE: tl.constexpr, KEPT: tl.constexpr, DENSE: tl.constexpr, ACC: tl.constexpr,
    COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Running softmax over chunks of the row's partners, then the derivatives by the cosines.

    The saved rows hold the cosines in between: a place per sample, or DENSE, one per class, 0 for those not drawn.
    KEPT: the target's cosines come from its kept Gram matrix.
    """
    row = tl.program_id(0)
    indices_ptr += row.to(tl.int64) * k
    own_ptr = saved_ptr + row.to(tl.int64) * columns
    second_ptr = own_ptr + n.to(tl.int64) * columns
    if DENSE:
        for first in range(0, columns, COLUMNS):
            place = first + tl.arange(0, COLUMNS)
            tl.store(own_ptr + place, tl.zeros((COLUMNS,), ACC), mask=place < columns)
            tl.store(second_ptr + place, tl.zeros((COLUMNS,), ACC), mask=place < columns)
        tl.debug_barrier()  # other threads of this program write the same places next
    least, zero = tl.full((), LEAST, ACC), tl.zeros((), ACC)
    learned_max, target_max = least, least
    learned_sum, target_sum, excess, inverse_length = zero, zero, zero, zero
    for first in range(0, k, COLUMNS):
        sample = first + tl.arange(0, COLUMNS)
        present = sample < k
        column = tl.load(indices_ptr + sample, mask=present, other=0)
        cosine, inverse_length = _cosines(
            learned_ptr, row, column, present, width, learned_row_stride, learned_stride, ACC, COLUMNS, WIDTH
        )
        if KEPT:
            other = tl.load(gram_ptr + row.to(tl.int64) * n + column, mask=present, other=0.0)
        else:
            other, _ = _cosines(
                target_ptr, row, column, present, width, target_row_stride, target_stride, ACC, COLUMNS, WIDTH
            )
        place = column if DENSE else sample
        tl.store(own_ptr + place, cosine, mask=present)
        tl.store(second_ptr + place, other, mask=present)
        learned = cosine * inverse_temperature
        target = other * inverse_temperature
        learned_max, target_max, learned_sum, target_sum, excess = add_chunk(
            learned, target, present, learned_max, target_max, learned_sum, target_sum, excess, 0, REVERSE
        )
    kl = kl_of_sums(learned_max, target_max, learned_sum, target_sum, excess, REVERSE)
    tl.store(row_kl_ptr + row, kl * scale)
    tl.store(row_stats_ptr + row, inverse_length)

    learned_log_sum = learned_max + tl.log(learned_sum)
    target_log_sum = target_max + tl.log(target_sum)
    along = tl.zeros((), ACC)
    tl.debug_barrier()  # other threads of this program wrote the cosines
    for first in range(0, k, COLUMNS):
        sample = first + tl.arange(0, COLUMNS)
        present = sample < k
        place = tl.load(indices_ptr + sample, mask=present, other=0) if DENSE else sample
        cosine = tl.load(own_ptr + place, mask=present, other=0.0)
        log_q = cosine * inverse_temperature - learned_log_sum
        log_p = tl.load(second_ptr + place, mask=present, other=0.0) * inverse_temperature - target_log_sum
        slope = tl.exp(log_q) * (log_q - log_p - kl) if REVERSE else tl.exp(log_q) - tl.exp(log_p)
        slope *= inverse_temperature
        along += tl.sum(tl.where(present, slope * cosine, 0.0), 0)
        tl.store(own_ptr + place, slope, mask=present)
        tl.store(second_ptr + place, slope * cosine, mask=present)
    tl.store(row_stats_ptr + n + row, along)


@triton.jit
def _cosines(
    x_ptr, row, column, present, width, row_stride, stride,
    ACC: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Cosines (COLUMNS,) of one row with gathered rows, and 1 / length of the row; a zero row gives zeros."""
    dots = tl.zeros((COLUMNS, WIDTH), ACC)
    squares = tl.zeros((COLUMNS, WIDTH), ACC)
    largest = tl.zeros((COLUMNS, WIDTH), ACC)
    row_squares = tl.zeros((WIDTH,), ACC)
    row_largest = tl.zeros((WIDTH,), ACC)
    for first in range(0, width, WIDTH):
        feature = first + tl.arange(0, WIDTH)
        inside = feature < width
        offset = feature.to(tl.int64) * stride
        a = tl.load(x_ptr + row.to(tl.int64) * row_stride + offset, mask=inside, other=0.0).to(ACC)
        place = x_ptr + column.to(tl.int64)[:, None] * row_stride + offset[None, :]
        b = tl.load(place, mask=present[:, None] & inside[None, :], other=0.0).to(ACC)
        dots += b * a[None, :]
        squares += b * b
        largest = tl.maximum(largest, tl.abs(b))
        row_squares += a * a
        row_largest = tl.maximum(row_largest, tl.abs(a))
    row_length = length(tl.sum(row_squares, 0), tl.max(row_largest, 0))
    cosine = tl.sum(dots, 1) / (row_length * length(tl.sum(squares, 1), tl.max(largest, 1)))
    return cosine, tl.where(tl.max(row_largest, 0) == 0, 0.0, 1 / row_length)
