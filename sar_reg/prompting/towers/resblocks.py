"""Residual attention blocks around `nn.MultiheadAttention`, as open_clip and OpenAI's clip both build them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sar_reg.prompting.towers.frozen import LINEAR, Frozen
from sar_reg.prompting.towers.mlp import Mlp
from sar_reg.prompting.towers.tower import Block
from sar_reg.shapes import Tensor


def encode_text(model: Any, tokens: Tensor) -> Tensor:
    """Features of token ids by the model's own method."""
    return model.encode_text(tokens)


def why_not_plain_blocks(blocks: Sequence[nn.Module]) -> str:
    """The reason why these blocks are not pre-norm attention + MLP blocks known here; empty if they are."""
    for block in blocks:
        attention: Any = getattr(block, "attn", None)
        if type(attention) is not nn.MultiheadAttention or type(attention.out_proj) not in LINEAR:
            return f"its blocks ({type(block).__name__}) are not the standard ones"
        known = (
            getattr(attention, "in_proj_weight", None) is not None
            and attention.bias_k is None
            and not attention.add_zero_attn
        )
        parts = hasattr(block, "ln_1") and hasattr(block, "ln_2") and _is_plain_mlp(block)
        if not (known and parts) or hasattr(block, "ln_attn") or hasattr(block, "ln_1_kv"):
            return f"its blocks ({type(block).__name__}) are not the standard ones"
        if attention.dropout > 0:
            return "its attention has dropout"
    return ""


def _is_plain_mlp(block: nn.Module) -> bool:
    mlp = getattr(block, "mlp", None)
    return isinstance(mlp, nn.Sequential) and [name for name, _ in mlp.named_children()] == [
        "c_fc",
        "gelu",
        "c_proj",
    ]


def is_causal(mask: Tensor | None) -> bool:
    """Whether an additive attention mask is zero on and below the diagonal and -inf above."""
    if mask is None or mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        return False
    expected = torch.full_like(mask, float("-inf")).triu(1)
    return bool(torch.equal(mask, expected))


def resblock(block: Any) -> Block:
    """The parts of one block, by role."""
    attention: nn.MultiheadAttention = block.attn

    def queries(x: Tensor) -> Tensor:
        return _in_projection(attention, x, slice(0, attention.embed_dim))

    def keys_values(x: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = _in_projection(attention, x, slice(attention.embed_dim, None)).chunk(2, dim=-1)
        return keys, values

    return Block(
        heads=attention.num_heads,
        norm1=Frozen(block.ln_1),
        queries=queries,
        keys_values=keys_values,
        qkv=lambda x: _in_projection(attention, x, slice(None)),
        out=Frozen(attention.out_proj),
        norm2=Frozen(block.ln_2),
        mlp=Mlp(block.mlp.c_fc, block.mlp.gelu, block.mlp.c_proj),
        scale1=_scale(block, "ls_1"),
        scale2=_scale(block, "ls_2"),
    )


def _in_projection(attention: Any, x: Tensor, part: slice) -> Tensor:
    weight = attention.in_proj_weight.detach()[part]
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias.detach()[part]
    return F.linear(x, weight, bias)


def _scale(block: nn.Module, name: str) -> Frozen | None:
    scale = getattr(block, name, None)
    return None if scale is None or isinstance(scale, nn.Identity) else Frozen(scale)


def projection(owner: Any) -> Callable[[Tensor], Tensor]:
    """`owner.text_projection` as a function: a matrix, a linear layer, or nothing."""

    def project(x: Tensor) -> Tensor:
        head = owner.text_projection
        if head is None:
            return x
        return Frozen(head)(x) if isinstance(head, nn.Module) else x @ head.detach()

    return project


def first_token(token_id: int | None) -> Callable[[Tensor], Tensor]:
    """Row of the first `token_id` in each prompt, or of the largest id if it is None."""
    if token_id is None:
        return lambda tokens: tokens.argmax(dim=-1)
    return lambda tokens: (tokens == token_id).int().argmax(dim=-1)
