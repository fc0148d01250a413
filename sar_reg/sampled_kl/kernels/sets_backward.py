"""The backward kernels for independent sets: each class gathers what it receives as a row and as a column."""

# pyright: basic
# Kernel parameters are pointers and numbers of Triton's own language, which has no annotations for them.

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["n"], do_not_specialize_on_alignment=["row_stats_ptr"])
def dense_backward(
    grad_ptr, learned_ptr, row_stats_ptr, saved_ptr, result_ptr, n, width, columns,
    grad_stride, learned_row_stride, learned_stride, result_row_stride, scale,
    PRECISION: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """WIDTH features of ROWS classes: (w C + (w C)ᵀ) U as one product, minus the part along the class itself.

    `columns` is a multiple of ROWS and COLUMNS, and the matrices are zero in the columns from n on.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    valid = row < n
    feature = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = feature < width
    offset = feature.to(tl.int64) * learned_stride
    second = n.to(tl.int64) * columns
    row_weight = scale * tl.load(grad_ptr + row * grad_stride, mask=valid, other=0.0)
    received = tl.zeros((ROWS, WIDTH), ACC)
    along = row_weight * tl.load(row_stats_ptr + n + row, mask=valid, other=0.0)
    for first in range(0, columns, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        there = column < n
        weight = scale * tl.load(grad_ptr + column * grad_stride, mask=there, other=0.0)
        inverse_length = tl.load(row_stats_ptr + column, mask=there, other=0.0)
        own = saved_ptr + row.to(tl.int64)[:, None] * columns + column[None, :]
        seen = saved_ptr + column.to(tl.int64)[None, :] * columns + row[:, None]
        along += tl.sum(weight[None, :] * tl.load(seen + second, mask=there[None, :], other=0.0), 1)
        slope = row_weight[:, None] * tl.load(own, mask=valid[:, None], other=0.0)
        slope += weight[None, :] * tl.load(seen, mask=there[None, :], other=0.0)
        place = learned_ptr + column.to(tl.int64)[:, None] * learned_row_stride + offset[None, :]
        x = tl.load(place, mask=there[:, None] & inside[None, :], other=0.0).to(ACC)
        part = slope * inverse_length[None, :]
        received = tl.dot(part, x, received, input_precision=PRECISION, out_dtype=ACC)
    place = learned_ptr + row.to(tl.int64)[:, None] * learned_row_stride + offset[None, :]
    x = tl.load(place, mask=valid[:, None] & inside[None, :], other=0.0).to(ACC)
    inverse_length = tl.load(row_stats_ptr + row, mask=valid, other=0.0)
    gradient = inverse_length[:, None] * (received - (along * inverse_length)[:, None] * x)
    place = result_ptr + row.to(tl.int64)[:, None] * result_row_stride + feature[None, :]
    tl.store(place, gradient, mask=valid[:, None] & inside[None, :])


@triton.jit(do_not_specialize=["n", "k"], do_not_specialize_on_alignment=["row_stats_ptr"])
def gather_backward(
    grad_ptr, learned_ptr, row_stats_ptr, indices_ptr, saved_ptr, order_ptr, bounds_ptr, result_ptr, n, k, width,
    grad_stride, learned_row_stride, learned_stride, result_row_stride, scale,
    ACC: tl.constexpr, CHUNK: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """WIDTH features of one class: its own K pairs, then the pairs it is the column of (`order` between `bounds`)."""
    row = tl.program_id(0)
    feature = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = feature < width
    offset = feature.to(tl.int64) * learned_stride
    second = n.to(tl.int64) * k
    received = tl.zeros((CHUNK, WIDTH), ACC)
    along = tl.zeros((CHUNK,), ACC)
    weight = tl.load(grad_ptr + row.to(tl.int64) * grad_stride)
    for first in range(0, k, CHUNK):
        sample = first + tl.arange(0, CHUNK)
        present = sample < k
        place = row.to(tl.int64) * k + sample
        partner = tl.load(indices_ptr + place, mask=present, other=0)
        slope = weight * tl.load(saved_ptr + place, mask=present, other=0.0)
        received += _weighted_rows(
            learned_ptr, row_stats_ptr, slope, partner, present, inside, offset, learned_row_stride, ACC
        )
    end = tl.load(bounds_ptr + row + 1)
    for first in range(tl.load(bounds_ptr + row), end, CHUNK):
        entry = first + tl.arange(0, CHUNK)
        present = entry < end
        place = tl.load(order_ptr + entry, mask=present, other=0)
        partner = (place // k).to(tl.int32)
        its_weight = tl.load(grad_ptr + partner.to(tl.int64) * grad_stride, mask=present, other=0.0)
        along += its_weight * tl.load(saved_ptr + second + place, mask=present, other=0.0)
        slope = its_weight * tl.load(saved_ptr + place, mask=present, other=0.0)
        received += _weighted_rows(
            learned_ptr, row_stats_ptr, slope, partner, present, inside, offset, learned_row_stride, ACC
        )
    x = tl.load(learned_ptr + row.to(tl.int64) * learned_row_stride + offset, mask=inside, other=0.0).to(ACC)
    inverse_length = tl.load(row_stats_ptr + row)
    total = tl.sum(along, 0) + weight * tl.load(row_stats_ptr + n + row)
    gradient = scale * inverse_length * (tl.sum(received, 0) - total * inverse_length * x)
    tl.store(result_ptr + row.to(tl.int64) * result_row_stride + feature, gradient, mask=inside)


@triton.jit
def _weighted_rows(
    x_ptr, row_stats_ptr, slope, partner, present, inside, offset, row_stride, ACC: tl.constexpr
):
    """Slope * unit row, (CHUNK, WIDTH), of some partners."""
    slope *= tl.load(row_stats_ptr + partner, mask=present, other=0.0)
    place = x_ptr + partner.to(tl.int64)[:, None] * row_stride + offset[None, :]
    return slope[:, None] * tl.load(place, mask=present[:, None] & inside[None, :], other=0.0).to(ACC)
