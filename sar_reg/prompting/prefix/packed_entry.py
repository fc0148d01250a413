"""Context vectors and deep prompts entering the stream of packed bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sar_reg.prompting.prefix.bins import SHARED, Bins
from sar_reg.prompting.prefix.rows import Rows
from sar_reg.shapes import Bool, Float, Int, Tensor
from sar_reg.tracing import functions_allowed


@dataclass(frozen=True)
class Entry:
    """Context vectors `low .. high` in each of `copies` bins (shared rows) or classes (own rows).

    `outside` is False in the vectors' rows and True elsewhere, `(bins, length, 1)`; None where they are not rows
    `1 .. n` of every bin.
    """

    low: int
    high: int
    copies: int
    places: Int[Tensor, " learned"]
    outside: Bool[Tensor, "bins length 1"] | None

    def put(self, x: Float[Tensor, "rows width"], context: Tensor) -> Float[Tensor, "rows width"]:
        """`x` with its vectors of the context, `(n_ctx, width)` or one per class."""
        if (self.low, self.high) != (0, context.shape[-2]):
            context = context[..., self.low : self.high, :]
        values = context.to(x.dtype).expand(self.copies, -1, -1)
        return x.index_copy(0, self.places, values.reshape(-1, x.shape[-1]))

    def spread(self, deep: Sequence[Tensor], dtype: torch.dtype) -> Sequence[Float[Tensor, "copies n width"]]:
        """A copy of every deep prompt for each bin or class, made at once."""
        rows = torch.stack(tuple(deep)).to(dtype)[:, None].expand(-1, self.copies, -1, -1)
        return rows.contiguous().unbind(0)

    def replace(
        self, x: Float[Tensor, "rows width"], rows: Float[Tensor, "copies n width"]
    ) -> Float[Tensor, "rows width"]:
        """`x` with its vectors replaced by those of one deep prompt."""
        rows = rows.to(x.dtype)
        if self.outside is None or not functions_allowed():
            return x.index_copy(0, self.places, rows.flatten(0, 1))
        return _ReplaceHead.apply(x, rows, self.places, self.outside)


class _ReplaceHead(torch.autograd.Function):
    """`x.index_copy` of rows that stand in the same place of every bin: their gradient is a view, not a copy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, places: Tensor, outside: Tensor) -> Tensor:
        ctx.outside, ctx.count = outside, rows.shape[1]
        return x.index_copy(0, places, rows.flatten(0, 1))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        by_bin = grad.view(*ctx.outside.shape[:2], -1)
        rows = by_bin[:, 1 : 1 + ctx.count]
        return (by_bin * ctx.outside).view_as(grad), rows, None, None


def entries_of(bins: Bins, rows: Rows) -> tuple[Entry, ...]:
    """Where the context vectors stand: the first in the shared rows, the others in each class's own."""
    index = bins.class_index[rows.places]
    entries: list[Entry] = []
    for among, copies in ((index == SHARED, bins.count), (index >= 0, len(bins.ends))):
        places = rows.places[among]
        if not len(places):
            continue
        each, low = len(places) // copies, int(rows.vectors[among].min())
        outside = None
        if index[0] == SHARED and places[:each].tolist() == list(range(1, 1 + each)):
            outside = torch.ones(bins.count * bins.length, 1, dtype=torch.bool)
            outside[places] = False
            outside = outside.view(bins.count, bins.length, 1)
        entries.append(Entry(low, low + each, copies, places, outside))
    return tuple(entries)
