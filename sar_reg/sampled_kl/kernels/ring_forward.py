"""The ring's forward kernel: band of cosines, two softmaxes, KL per class, in one launch."""

# pyright: basic, reportArgumentType=false, reportInvalidTypeForm=false, reportGeneralTypeIssues=false
# Kernel parameters are pointers and numbers of Triton's own language, which has no annotations for them.

from __future__ import annotations

import triton
import triton.language as tl

from sar_reg.sampled_kl.kernels.softmax import LEAST, add_chunk, kl_of_sums, length


@triton.jit(do_not_specialize=["n", "k"], do_not_specialize_on_alignment=["row_stats_ptr"])
def ring_kl_forward(
    learned_ptr, target_ptr, gram_ptr, order_ptr, row_kl_ptr, cosines_ptr, row_stats_ptr, n, k, width,
    learned_row_stride, learned_stride, target_row_stride, target_stride, inverse_temperature, scale,
    REVERSE: tl.constexpr, KEPT: tl.constexpr, LEARNED_PRECISION: tl.constexpr, TARGET_PRECISION: tl.constexpr,
    ACC: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """One program: ROWS successive ring positions against the ROWS + k - 1 positions that follow the first.

    The window is walked in chunks of COLUMNS with running softmax sums, so any k fits. The first chunk holds
    columns of every row's band, because ROWS <= COLUMNS. KEPT: the target's cosines come from its kept Gram matrix.
    """
    row = tl.arange(0, ROWS)
    position = tl.program_id(0) * ROWS + row
    valid = position < n
    row_class = tl.load(order_ptr + position % n)
    # Within a program 32 bits suffice; only its own start needs 64.
    learned_band_ptr = cosines_ptr + tl.program_id(0).to(tl.int64) * ROWS * k
    target_band_ptr = learned_band_ptr + n.to(tl.int64) * k

    least, zero = tl.full((ROWS,), LEAST, ACC), tl.zeros((ROWS,), ACC)
    learned_max, target_max = least, least
    learned_sum, target_sum, excess, learned_scale = zero, zero, zero, zero
    for first in range(0, ROWS - 1 + k, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        column_class = tl.load(order_ptr + (tl.program_id(0) * ROWS + 1 + column) % n)
        sample = column[None, :] - row[:, None]
        band = (sample >= 0) & (sample < k)
        place = row[:, None] * k + sample

        cosine, learned_scale = _cosines(
            learned_ptr, row_class, column_class, width, learned_row_stride, learned_stride,
            LEARNED_PRECISION, ACC, ROWS, COLUMNS, WIDTH,
        )  # fmt: skip
        tl.store(learned_band_ptr + place, cosine, mask=band & valid[:, None])
        learned_logit = cosine * inverse_temperature
        if KEPT:
            pair = row_class.to(tl.int64)[:, None] * n + column_class[None, :]
            cosine = tl.load(gram_ptr + pair, mask=band, other=0.0)
        else:
            cosine, _ = _cosines(
                target_ptr, row_class, column_class, width, target_row_stride, target_stride,
                TARGET_PRECISION, ACC, ROWS, COLUMNS, WIDTH,
            )  # fmt: skip
        tl.store(target_band_ptr + place, cosine, mask=band & valid[:, None])
        target_logit = cosine * inverse_temperature

        learned_max, target_max, learned_sum, target_sum, excess = add_chunk(
            learned_logit, target_logit, band, learned_max, target_max, learned_sum, target_sum, excess, 1, REVERSE
        )  # fmt: skip

    kl = kl_of_sums(learned_max, target_max, learned_sum, target_sum, excess, REVERSE)
    # Backward needs log P - log Q + KL if REVERSE, so the KL goes into one of the log-sum-exps.
    target_log_sum = target_max + tl.log(target_sum) - (kl if REVERSE else 0.0)
    tl.store(row_kl_ptr + row_class, kl * scale, mask=valid)
    tl.store(row_stats_ptr + position, learned_max + tl.log(learned_sum), mask=valid)
    tl.store(row_stats_ptr + n + position, target_log_sum, mask=valid)
    tl.store(row_stats_ptr + 2 * n.to(tl.int64) + position, learned_scale, mask=valid)


@triton.jit
def _cosines(
    x_ptr, row_class, column_class, width, row_stride, stride,
    PRECISION: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Cosines (ROWS, COLUMNS) from raw features, and the rows' 1 / length; a zero row gives zeros."""
    dots = tl.zeros((ROWS, COLUMNS), ACC)
    row_squares = tl.zeros((ROWS, WIDTH), ACC)
    column_squares = tl.zeros((WIDTH, COLUMNS), ACC)
    row_largest = tl.zeros((ROWS, WIDTH), ACC)
    column_largest = tl.zeros((WIDTH, COLUMNS), ACC)
    row_ptr = x_ptr + row_class.to(tl.int64) * row_stride
    column_ptr = x_ptr + column_class.to(tl.int64) * row_stride
    for first in range(0, width, WIDTH):
        feature = first + tl.arange(0, WIDTH)
        inside = feature < width
        offset = feature.to(tl.int64) * stride
        raw_a = tl.load(row_ptr[:, None] + offset[None, :], mask=inside[None, :], other=0.0)
        raw_b = tl.load(column_ptr[None, :] + offset[:, None], mask=inside[:, None], other=0.0)
        a = raw_a.to(ACC)
        b = raw_b.to(ACC)
        if PRECISION == "native":
            dots = tl.dot(raw_a, raw_b, dots, out_dtype=ACC)
        else:
            dots = tl.dot(a, b, dots, input_precision=PRECISION, out_dtype=ACC)
        row_squares += a * a
        column_squares += b * b
        row_largest = tl.maximum(row_largest, tl.abs(a))
        column_largest = tl.maximum(column_largest, tl.abs(b))
    row_length = length(tl.sum(row_squares, 1), tl.max(row_largest, 1))
    # One division rounds less than two multiplications by rounded reciprocals.
    column_length = length(tl.sum(column_squares, 0), tl.max(column_largest, 0))
    cosine = dots / (row_length[:, None] * column_length[None, :])
    return cosine, tl.where(tl.max(row_largest, 1) == 0, 0.0, 1 / row_length)
