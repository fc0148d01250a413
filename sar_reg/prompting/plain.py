"""The long way round: the unmodified model reads every prompt in full, learnable rows put in by hooks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from sar_reg.errors import InputError
from sar_reg.prompting.prefix.plan import Learned
from sar_reg.prompting.prompts import PromptRows
from sar_reg.prompting.towers import TextTower
from sar_reg.shapes import Float, Tensor


def encode_plain(
    tower: TextTower, rows: PromptRows, learned: Learned, n_ctx: int
) -> Float[Tensor, "classes features"]:
    """Features of all prompts by the model's own text encoder, not normalised.

    The output of the token embedding is replaced by the assembled rows, and a hook before each block that
    learned rows enter puts them in. Cost: classes x context tokens, whatever the prompts' lengths.
    """
    entering = dict(enumerate(learned.deep, start=1))
    if learned.class_tokens is not None:
        entering[learned.class_layer] = learned.class_tokens
    if entering and not tower.block_modules:
        raise InputError(f"deep prompts and class tokens need a tower with known blocks; {tower.why_not}.")
    with ExitStack() as hooks:
        embedded = _assemble(tower, rows, learned.context)
        hooks.enter_context(tower.token_table.register_forward_hook(lambda *_: embedded))
        for block, values in entering.items():
            put = _put_rows(values, n_ctx, tower.rows_first)
            module = tower.block_modules[block]
            hooks.enter_context(module.register_forward_pre_hook(put, with_kwargs=True))
        return tower.encode_tokens(rows.tokens)


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


def _assemble(
    tower: TextTower, rows: PromptRows, context: Tensor | None
) -> Float[Tensor, "classes context width"]:
    table = tower.token_table.weight.detach()
    embedded = table[rows.source.clamp(min=0)].to(tower.dtype)
    if context is None:
        return embedded
    classes, columns = (rows.source < 0).nonzero(as_tuple=True)
    vectors = -1 - rows.source[classes, columns]
    values = context[vectors] if context.ndim == 2 else context[classes, vectors]
    return embedded.index_put((classes, columns), values.to(embedded.dtype))


def _put_rows(
    values: Tensor, n_ctx: int, rows_first: bool
) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]:
    def put(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x = args[0].transpose(0, 1) if rows_first else args[0]
        new = values.to(x.dtype).expand(len(x), -1, -1)
        x = torch.cat([x[:, :1], new, x[:, 1 + n_ctx :]], dim=1)
        return (x.transpose(0, 1) if rows_first else x, *args[1:]), kwargs

    return put
