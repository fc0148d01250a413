"""Packed layout: classes fill bins of equal length, each with its own copy of the shared rows at its head.

A bin is `[shared rows | own rows of consecutive classes | padding]`, so a transformer block is the ordinary batched
block with one additive mask: its number of operations does not depend on the number of classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from sar_reg.shapes import Float, Int, Tensor

ROWS = 256
"""Rows of a bin, about; at least the longest prompt. The mask costs `ROWS` numbers per row."""
MULTIPLE = 16
"""Bins are a multiple of this long: attention kernels want aligned masks."""
PADDING, SHARED = -1, -2
"""Class numbers of rows that belong to no class and to all classes."""


@dataclass(frozen=True)
class Bins:
    """Where the rows of all classes lie in the stream `(count * length, width)`.

    Attributes:
        shared: rows at the head of each bin.
        count: number of bins.
        length: rows in a bin.
        class_index: the class of each stream row, or `PADDING` or `SHARED`.
        column: the row of the prompt at each stream row; 0 for padding.
        starts: stream row at which each class's own rows begin.
        ends: stream row of each class's end-of-text.
    """

    shared: int
    count: int
    length: int
    class_index: Int[Tensor, " rows"]
    column: Int[Tensor, " rows"]
    starts: Int[Tensor, " classes"]
    ends: Int[Tensor, " classes"]
    _masks: dict[Any, Tensor] = field(default_factory=dict[Any, Tensor])

    def mask(self, dtype: torch.dtype) -> Float[Tensor, "count 1 length length"]:
        """Zero where a row sees another: earlier rows of its class and the shared rows; -inf elsewhere.

        Made once for each type and device.
        """
        if torch.compiler.is_compiling():
            return self._make_mask(dtype)
        key = dtype, self.class_index.device
        if key not in self._masks:
            with torch.inference_mode(mode=False):
                self._masks[key] = self._make_mask(dtype)
        return self._masks[key]

    def _make_mask(self, dtype: torch.dtype) -> Tensor:
        index = self.class_index.view(self.count, self.length)
        seen = ((index[:, :, None] == index[:, None]) | (index == SHARED)[:, None]).tril()
        nothing = torch.zeros(seen.shape, dtype=dtype, device=index.device)
        return nothing.masked_fill_(~seen, float("-inf"))[:, None]


def fill(last: Int[Tensor, " classes"], shared: int, rows: int = ROWS) -> Bins:
    """Put the classes in order into as few bins of about `rows` rows as they need, all equally short.

    Args:
        last: row of end-of-text of each class, on the CPU.
        shared: leading rows that all classes have in common.
        rows: length of a bin; longer only if one prompt is.
    """
    own = (last - shared + 1).tolist()
    limit = _aligned(max(min(rows, shared + sum(own)), shared + max(own)))
    needed = _bins_needed(own, limit - shared)
    shortest = _aligned(max(shared + max(own), shared + -(-sum(own) // needed)))
    length = next(
        size
        for size in range(shortest, limit + MULTIPLE, MULTIPLE)
        if _bins_needed(own, size - shared) == needed
    )
    starts: list[int] = []
    number, at = 0, shared
    for count in own:
        if at + count > length:
            number, at = number + 1, shared
        starts.append(number * length + at)
        at += count
    lengths, first = torch.tensor(own), torch.tensor(starts)
    class_index = torch.full((needed * length,), PADDING)
    column = torch.zeros(needed * length, dtype=torch.long)
    of_row = torch.repeat_interleave(torch.arange(len(own)), lengths)
    within = torch.arange(len(of_row)) - (lengths.cumsum(0) - lengths)[of_row]
    class_index[first[of_row] + within] = of_row
    column[first[of_row] + within] = within + shared
    class_index.view(needed, length)[:, :shared] = SHARED
    column.view(needed, length)[:, :shared] = torch.arange(shared)
    return Bins(shared, needed, length, class_index, column, first, first + lengths - 1)


def _aligned(length: int) -> int:
    return -(-length // MULTIPLE) * MULTIPLE


def _bins_needed(own: list[int], room: int) -> int:
    bins, used = 1, 0
    for count in own:
        if used + count > room:
            bins, used = bins + 1, 0
        used += count
    return bins
