"""The forward kernel: band of cosines, two softmaxes, KL per class, in one launch."""

# pyright: basic
# Kernel parameters are pointers and numbers of Triton's own language, which has no annotations for them.

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sar_reg.sampled_kl.kernels.tiles import FORWARD_TILE, accumulator, forward_precision, launch
from sar_reg.shapes import Float, Int, Tensor


def forward(
    learned: Float[Tensor, "classes width"],
    target: Float[Tensor, "classes width"],
    order: Int[Tensor, " classes"],
    k: int,
    temperature: float,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """KL per class, and what the backward pass needs; see `ring_op.ring_kl`."""
    n, width = learned.shape
    dtype = torch.promote_types(torch.promote_types(learned.dtype, target.dtype), torch.float32)
    row_kl, cosines, row_stats = (learned.new_empty(s, dtype=dtype) for s in ((n,), (2, n, k), (3, n)))
    grid = (triton.cdiv(n, FORWARD_TILE["ROWS"]),)
    launch(
        ring_kl_forward, grid, learned.device,
        learned, target, order, row_kl, cosines, row_stats, n, k, width,
        learned.stride(0), learned.stride(1), target.stride(0), target.stride(1), 1 / temperature,
        REVERSE=reverse,
        LEARNED_PRECISION=forward_precision(learned.dtype),
        TARGET_PRECISION=forward_precision(target.dtype),
        ACC=accumulator(learned.dtype, target.dtype),
        **FORWARD_TILE,
    )  # fmt: skip
    return row_kl, cosines, row_stats


@triton.jit(do_not_specialize=["n", "k", "width"])
def ring_kl_forward(
    learned_ptr,
    target_ptr,
    order_ptr,
    row_kl_ptr,
    cosines_ptr,
    row_stats_ptr,
    n,
    k,
    width,
    learned_row_stride,
    learned_stride,
    target_row_stride,
    target_stride,
    inverse_temperature,
    REVERSE: tl.constexpr,
    LEARNED_PRECISION: tl.constexpr,
    TARGET_PRECISION: tl.constexpr,
    ACC: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """One program: ROWS successive ring positions against the ROWS + k - 1 positions that follow the first.

    The window is walked in chunks of COLUMNS with running softmax sums, so any k fits. The first chunk holds
    columns of every row's band, because ROWS <= COLUMNS.
    """
    row = tl.arange(0, ROWS)
    position = tl.program_id(0) * ROWS + row
    valid = position < n
    row_class = tl.load(order_ptr + position % n)
    # Within a program 32 bits suffice; only its own start needs 64.
    learned_band_ptr = cosines_ptr + tl.program_id(0).to(tl.int64) * ROWS * k
    target_band_ptr = learned_band_ptr + n.to(tl.int64) * k

    # Below every logit, but finite: a row of NaN then stays NaN and no infinities are subtracted.
    learned_max = tl.full((ROWS,), -1e30, ACC)
    target_max = tl.full((ROWS,), -1e30, ACC)
    learned_sum = tl.zeros((ROWS,), ACC)
    target_sum = tl.zeros((ROWS,), ACC)
    excess = tl.zeros((ROWS,), ACC)
    learned_scale = tl.zeros((ROWS,), ACC)
    for first in range(0, ROWS - 1 + k, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        column_class = tl.load(order_ptr + (tl.program_id(0) * ROWS + 1 + column) % n)
        sample = column[None, :] - row[:, None]
        band = (sample >= 0) & (sample < k)
        place = row[:, None] * k + sample

        cosine, learned_scale = _cosines(
            learned_ptr,
            row_class,
            column_class,
            width,
            learned_row_stride,
            learned_stride,
            LEARNED_PRECISION,
            ACC,
            ROWS,
            COLUMNS,
            WIDTH,
        )
        tl.store(learned_band_ptr + place, cosine, mask=band & valid[:, None])
        learned_logit = cosine * inverse_temperature
        cosine, _ = _cosines(
            target_ptr,
            row_class,
            column_class,
            width,
            target_row_stride,
            target_stride,
            TARGET_PRECISION,
            ACC,
            ROWS,
            COLUMNS,
            WIDTH,
        )
        tl.store(target_band_ptr + place, cosine, mask=band & valid[:, None])
        target_logit = cosine * inverse_temperature

        learned_max, learned_fade, learned_part = _softmax_step(learned_logit, band, learned_max)
        target_max, target_fade, target_part = _softmax_step(target_logit, band, target_max)
        learned_sum = learned_sum * learned_fade + tl.sum(learned_part, 1)
        target_sum = target_sum * target_fade + tl.sum(target_part, 1)
        # Off the band a NaN class of other rows may stand, which a zero weight would not silence.
        gap = tl.where(band, target_logit - learned_logit, 0.0)
        if REVERSE:
            excess = excess * learned_fade - tl.sum(learned_part * gap, 1)
        else:
            excess = excess * target_fade + tl.sum(target_part * gap, 1)

    learned_log_sum = learned_max + tl.log(learned_sum)
    target_log_sum = target_max + tl.log(target_sum)
    # The log of the ratio of the sums: each log by itself is of size log k and its rounding would stay.
    log_ratio = learned_max - target_max + tl.log(learned_sum / target_sum)
    kl = excess / learned_sum - log_ratio if REVERSE else excess / target_sum + log_ratio
    tl.store(row_kl_ptr + row_class, kl, mask=valid)
    tl.store(row_stats_ptr + position, learned_log_sum, mask=valid)
    tl.store(row_stats_ptr + n + position, target_log_sum, mask=valid)
    tl.store(row_stats_ptr + 2 * n.to(tl.int64) + position, learned_scale, mask=valid)


@triton.jit
def _cosines(
    x_ptr,
    row_class,
    column_class,
    width,
    row_stride,
    stride,
    PRECISION: tl.constexpr,
    ACC: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Cosines (ROWS, COLUMNS) from raw features, and the rows' 1 / length; a zero row gives zeros."""
    dots = tl.zeros((ROWS, COLUMNS), ACC)
    row_squares = tl.zeros((ROWS, WIDTH), ACC)
    column_squares = tl.zeros((WIDTH, COLUMNS), ACC)
    row_ptr = x_ptr + row_class.to(tl.int64) * row_stride
    column_ptr = x_ptr + column_class.to(tl.int64) * row_stride
    for first in range(0, width, WIDTH):
        feature = first + tl.arange(0, WIDTH)
        inside = feature < width
        offset = feature.to(tl.int64) * stride
        # Upcast before the product: exact for half precision, and Triton's interpreter cannot multiply bfloat16.
        a = tl.load(row_ptr[:, None] + offset[None, :], mask=inside[None, :], other=0.0).to(ACC)
        b = tl.load(column_ptr[None, :] + offset[:, None], mask=inside[:, None], other=0.0).to(ACC)
        dots = tl.dot(a, b, dots, input_precision=PRECISION, out_dtype=ACC)
        row_squares += a * a
        column_squares += b * b
    row_square = tl.sum(row_squares, 1)
    row_length = _length(row_square)
    # One division rounds less than two multiplications by rounded reciprocals.
    cosine = dots / (row_length[:, None] * _length(tl.sum(column_squares, 0))[None, :])
    return cosine, tl.where(row_square == 0, 0.0, 1 / row_length)


@triton.jit
def _length(square):
    """sqrt(square), and 1 at 0: the products of a zero row are 0 already."""
    return tl.sqrt(tl.where(square == 0, 1.0, square))


@triton.jit
def _softmax_step(logit, band, running_max):
    """The new running maximum, the factor for earlier sums, and this chunk's exponentials (0 off the band)."""
    new_max = tl.maximum(running_max, tl.max(tl.where(band, logit, -float("inf")), 1))
    part = tl.exp(tl.where(band, logit - new_max[:, None], -float("inf")))
    return new_max, tl.exp(running_max - new_max), part
