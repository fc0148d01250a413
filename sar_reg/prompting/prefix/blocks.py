"""The transformer itself: shared rows once, and every class's own rows as one packed stream.

In a causal transformer a row sees only the rows before it. The first rows of all prompts are equal, so their
keys and values are computed once per block, and each class's rows attend to them and to each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sar_reg.prompting.prefix.attention import attend, by_head
from sar_reg.prompting.prefix.groups import Group, Groups
from sar_reg.prompting.prefix.rows import Rows
from sar_reg.prompting.towers import Block
from sar_reg.shapes import Float, Tensor
from sar_reg.tracing import run

KeysValues = tuple[Float[Tensor, "heads _ head"], Float[Tensor, "heads _ head"]]


def run_shared(
    blocks: Sequence[Block],
    x: Float[Tensor, "shared width"],
    rows: Rows,
    deep: Sequence[Float[Tensor, "context width"]],
    first: int,
    stop: int,
) -> tuple[list[KeysValues], Float[Tensor, "shared width"]]:
    """Pass the shared rows through blocks `first .. stop - 1`.

    Returns the keys and values of each block, and the rows at the input of block `stop` (of the last block, where
    `stop` is the number of blocks: nothing reads them after it).
    """
    kept: list[KeysValues] = []
    mask = _causal(len(x), x)
    for number in range(first, stop):
        block, x = blocks[number], rows.with_deep(x, deep, number)
        h = block.norm1(x)
        keys, values = block.keys_values(h)
        kept.append((by_head(keys, block.heads), by_head(values, block.heads)))
        if number + 1 < len(blocks):
            none = kept[-1][0][:, :0], kept[-1][1][:, :0]
            x = _rest_of_block(block, x, attend(block.queries(h), keys, values, *none, mask, 1))
    return kept, x


def run_own(
    blocks: Sequence[Block],
    x: Float[Tensor, "rows width"],
    shared: Sequence[KeysValues],
    layout: Groups,
    rows: Rows,
    deep: Sequence[Float[Tensor, "context width"]],
    *,
    first: int,
    recompute: bool,
) -> Float[Tensor, "rows_or_classes width"]:
    """Pass the packed rows through blocks `first .. first + len(shared) - 1`.

    The last block of the tower is computed for the end-of-text rows only: then `(classes, width)` comes back.
    With `recompute`, only each block's input is kept for backward.
    """
    for number, keys_values in enumerate(shared, start=first):
        x = rows.with_deep(x, deep, number)
        at_end = number + 1 == len(blocks)
        x = run(_own_block, blocks[number], x, *keys_values, layout, at_end, recompute=recompute)
    return x


def _own_block(
    block: Block, x: Tensor, shared_keys: Tensor, shared_values: Tensor, layout: Groups, at_end: bool
) -> Tensor:
    h = block.norm1(x)
    keys, values = block.keys_values(h)
    if at_end:
        x, h = x[layout.ends], h[layout.ends]
    counts = [group.classes for group in layout.groups]
    rows = [group.classes * group.length for group in layout.groups]
    read: list[Tensor] = []
    pieces = block.queries(h).split(counts if at_end else rows), keys.split(rows), values.split(rows)
    for group, ends, q, k, v in zip(layout.groups, layout.ends.split(counts), *pieces, strict=True):
        mask = _up_to_end(group, ends, x, layout.padded) if at_end else _causal(group.length, x)
        read.append(attend(q, k, v, shared_keys, shared_values, mask, group.classes))
    return _rest_of_block(block, x, torch.cat(read))


def _rest_of_block(block: Block, x: Tensor, read: Tensor) -> Tensor:
    x = x + block.scale1(block.out(read))
    return x + block.scale2(block.mlp(block.norm2(x)))


def _causal(length: int, like: Tensor) -> Tensor | None:
    if length == 1:
        return None
    return torch.full((1, length, length), float("-inf"), dtype=like.dtype, device=like.device).triu(1)


def _up_to_end(group: Group, ends: Tensor, like: Tensor, padded: bool) -> Tensor | None:
    """Mask `(classes, 1, length)` that hides padding from the end-of-text rows; None without padding."""
    if not padded:
        return None
    starts = group.start + group.length * torch.arange(group.classes, device=like.device)
    hidden = torch.arange(group.length, device=like.device) > (ends - starts)[:, None]
    return torch.zeros_like(hidden, dtype=like.dtype).masked_fill(hidden, float("-inf"))[:, None]
