"""The transformer itself: shared rows once, and every class's own rows as one packed stream.

In a causal transformer a row sees only the rows before it. The first rows of all prompts are equal, so their
keys and values are computed once per block, and each class's rows attend to them and to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch.utils.checkpoint import checkpoint

from sar_reg.prompting.layout import Layout
from sar_reg.prompting.towers import Block
from sar_reg.shapes import Float, Int, Tensor


class Edit(NamedTuple):
    """Rows that a learned tensor replaces before a block: `x[rows] = values`."""

    rows: Int[Tensor, edited]
    values: Float[Tensor, "edited width"]

    def apply(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """A copy of `x` with the rows replaced."""
        return x.index_copy(0, self.rows, self.values.to(x.dtype))


KeysValues = tuple[Float[Tensor, "shared heads head"], Float[Tensor, "shared heads head"]]


def run_shared(
    blocks: Sequence[Block], x: Float[Tensor, "shared width"], edits: Mapping[int, Edit], first: int, stop: int
) -> tuple[list[KeysValues], Float[Tensor, "shared width"]]:
    """Pass the shared rows through blocks `first .. stop - 1`.

    Returns:
        The keys and values of each block, and the rows at the input of block `stop` (of the last block, where
        `stop` is the number of blocks: nothing reads them after it).
    """
    kept: list[KeysValues] = []
    mask = _causal(len(x), x)
    for number in range(first, stop):
        block = blocks[number]
        if number in edits:
            x = edits[number].apply(x)
        h = block.norm1(x)
        keys, values = (_split(part, block.heads) for part in block.keys_values(h))
        kept.append((keys, values))
        if number + 1 < len(blocks):
            queries = _split(block.queries(h), block.heads)
            none = keys[:0], values[:0]
            read = _attend(queries[None], keys[None], values[None], none, mask)
            x = _rest_of_block(block, x, read[0].flatten(1))
    return kept, x


def run_own(
    blocks: Sequence[Block],
    x: Float[Tensor, "rows width"],
    shared: Sequence[KeysValues],
    layout: Layout,
    edits: Mapping[int, Edit],
    *,
    first: int,
    recompute: bool,
) -> Float[Tensor, "rows_or_classes width"]:
    """Pass the packed rows through blocks `first .. first + len(shared) - 1`.

    The last block of the tower is computed for the end-of-text rows only: then `(classes, width)` comes back.

    Args:
        blocks: all blocks of the tower.
        x: the stream described by `layout`.
        shared: keys and values of the shared rows, for each block to run.
        layout: where each class's rows lie.
        edits: learned rows by block number.
        first: number of the first block to run.
        recompute: keep only each block's input for backward.
    """
    for number, keys_values in enumerate(shared, start=first):
        if number in edits:
            x = edits[number].apply(x)
        at_end = number + 1 == len(blocks)
        arguments = blocks[number], x, *keys_values, layout, at_end
        x = checkpoint(_own_block, *arguments, use_reentrant=False) if recompute else _own_block(*arguments)
    return x


def _own_block(
    block: Block, x: Tensor, shared_keys: Tensor, shared_values: Tensor, layout: Layout, at_end: bool
) -> Tensor:
    h = block.norm1(x)
    keys, values = (_split(part, block.heads) for part in block.keys_values(h))
    if at_end:
        x, h = x[layout.ends], h[layout.ends]
    queries = _split(block.queries(h), block.heads)
    read: list[Tensor] = []
    done = 0
    for start, count, length in layout.groups:
        own = slice(start, start + count * length)
        asking = slice(done, done + count) if at_end else own
        done += count
        mask = _up_to_end(layout, start, asking, length, x) if at_end else _causal(length, x)
        out = _attend(
            queries[asking].unflatten(0, (count, -1)),
            keys[own].unflatten(0, (count, length)),
            values[own].unflatten(0, (count, length)),
            (shared_keys, shared_values),
            mask,
        )
        read.append(out.flatten(2).flatten(0, 1))
    return _rest_of_block(block, x, torch.cat(read))


def _rest_of_block(block: Block, x: Tensor, read: Tensor) -> Tensor:
    update = block.out(read)
    x = x + (block.scale1(update) if block.scale1 else update)
    update = block.mlp(block.norm2(x))
    return x + (block.scale2(update) if block.scale2 else update)


def _attend(
    queries: Float[Tensor, "classes asking heads head"],
    keys: Float[Tensor, "classes own heads head"],
    values: Float[Tensor, "classes own heads head"],
    shared: KeysValues,
    mask: Tensor | None,
) -> Float[Tensor, "classes asking heads head"]:
    """One softmax over shared and own keys; the shared ones are never copied per class."""
    shared_keys, shared_values = shared
    split = len(shared_keys)
    queries = queries * queries.shape[-1] ** -0.5
    to_shared = torch.einsum("nqhd,phd->nhqp", queries, shared_keys)
    to_own = torch.einsum("nqhd,nkhd->nhqk", queries, keys)
    if mask is not None:
        to_own = to_own + mask
    weight = torch.cat([to_shared, to_own], dim=-1).softmax(dim=-1).to(values.dtype)
    from_shared = torch.einsum("nhqp,phd->nqhd", weight[..., :split], shared_values)
    return from_shared + torch.einsum("nhqk,nkhd->nqhd", weight[..., split:], values)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1))


def _causal(length: int, like: Tensor) -> Tensor | None:
    if length == 1:
        return None
    return torch.full((length, length), float("-inf"), dtype=like.dtype, device=like.device).triu(1)


def _up_to_end(layout: Layout, start: int, classes: slice, length: int, like: Tensor) -> Tensor | None:
    if not layout.padded:
        return None
    ends = layout.ends[classes] - start - length * torch.arange(classes.stop - classes.start, device=like.device)
    behind = torch.arange(length, device=like.device) > ends[:, None]
    return torch.zeros(behind.shape, dtype=like.dtype, device=like.device).masked_fill(behind, float("-inf"))[
        :, None, None, :
    ]
