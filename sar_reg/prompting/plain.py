"""The full-length path: the model itself reads every prompt, learnable rows put in by hooks."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from sar_reg.prompting.learned import Learned
from sar_reg.prompting.prompts import PromptRows
from sar_reg.prompting.towers import TextTower, frozen_twins
from sar_reg.shapes import Float, Tensor


def encode_plain(
    tower: TextTower, rows: PromptRows, learned: Learned, n_ctx: int
) -> Float[Tensor, "classes features"]:
    """Features of all prompts by the model's own text encoder, not normalised.

    The vectors take the places of the placeholders in the output of the token embedding, and a hook before
    each block that learned rows enter puts them in. The hooks are on a twin of the model, so that the model
    stays as it is. Cost: classes x context tokens, whatever the prompts' lengths.
    """
    entering = dict(enumerate(learned.deep, start=1))
    if learned.class_tokens is not None:
        entering[learned.class_layer] = learned.class_tokens
    twins = frozen_twins(tower.model)
    if learned.context is not None:
        # into the dictionaries themselves: `register_forward_hook` counts handles, which cannot be compiled
        twins[tower.token_table]._forward_hooks[-1] = _put_context(rows, learned.context, n_ctx)
    for block, values in entering.items():
        twins[tower.block_modules[block]]._forward_pre_hooks[-1] = _put_rows(
            values, rows.start, tower.rows_first
        )
    return tower.features(twins[tower.model], rows.ids)


def encode_plain_in_passes(
    tower: TextTower, rows: PromptRows, learned: Learned, n_ctx: int, chunk_size: int | None
) -> Float[Tensor, "classes features"]:
    """`encode_plain` for `chunk_size` classes at a time; each pass is recomputed in backward."""
    count = len(rows.tokens)
    if chunk_size is None or chunk_size >= count:
        return encode_plain(tower, rows, learned, n_ctx)

    def encode(classes: Tensor, *parts: Any) -> Tensor:
        return encode_plain(tower, rows.of(classes), Learned.of_parts(*parts).of(classes), n_ctx)

    passes = torch.arange(count, device=rows.tokens.device).split(chunk_size)
    if torch.is_grad_enabled():
        found = [checkpoint(encode, classes, *learned.apart(), use_reentrant=False) for classes in passes]
    else:
        found = [encode(classes, *learned.apart()) for classes in passes]
    return torch.cat(found)


def _put_context(rows: PromptRows, context: Tensor, n_ctx: int) -> Callable[..., Tensor]:
    vectors = torch.arange(n_ctx, device=rows.source.device)
    columns = (rows.source[:, None] == -1 - vectors[:, None]).int().argmax(dim=-1)
    classes = torch.arange(len(columns), device=columns.device)[:, None]

    def put(module: nn.Module, args: tuple[Any, ...], embedded: Tensor) -> Tensor:
        values = context.to(embedded.dtype).expand(len(embedded), -1, -1)
        return embedded.index_put((classes, columns), values)

    return put


def _put_rows(values: Tensor, start: int, rows_first: bool) -> Callable[..., tuple[Any, ...]]:
    def put(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x = args[0].transpose(0, 1) if rows_first else args[0]
        new = values.to(x.dtype).expand(len(x), -1, -1)
        x = torch.cat([x[:, :start], new, x[:, start + new.shape[1] :]], dim=1)
        return x.transpose(0, 1) if rows_first else x, *args[1:]

    return put
