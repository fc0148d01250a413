"""Towers of residual attention blocks around `nn.MultiheadAttention`, as open_clip and OpenAI's clip build them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sar_reg.errors import InputError
from sar_reg.prompting.towers.frozen import LINEAR, Frozen
from sar_reg.prompting.towers.layers import Mlp, unlike_gelu
from sar_reg.prompting.towers.tokens import checked_tokenizer
from sar_reg.prompting.towers.tower import NO_SCALE, Block, Stack, TextTower
from sar_reg.shapes import Tensor

NOT_CAUSAL = "its attention is not causal"


def resblock_tower(
    model: Any,
    text: Any,
    tokenizer: Any,
    advice: str,
    *,
    why_not: str,
    context_length: int,
    eos_id: int | None = None,
    **more: Any,
) -> TextTower:
    """The tower of `text`, which is the model or a part of it; shareable unless `why_not` or its blocks say otherwise.

    Args:
        model: the whole model, with a method `encode_text`.
        text: what holds `transformer.resblocks`, `token_embedding`, `ln_final` and `text_projection`.
        tokenizer: see `checked_tokenizer`.
        advice: see `checked_tokenizer`.
        why_not: the family's reason against sharing, if it has one.
        context_length: tokens that the model reads.
        eos_id: see `first_token`.
        more: further fields of the tower.
    """
    blocks = tuple(text.transformer.resblocks)
    why_not = why_not or _why_not_plain_blocks(blocks)
    stack = None
    if not why_not:
        stack = Stack(
            positions=lambda: text.positional_embedding.detach(),
            blocks=tuple(_resblock(block) for block in blocks),
            final_norm=Frozen(text.ln_final),
            project=lambda x: _project(text.text_projection, x),
        )
    head = text.text_projection
    if head is None:
        width = text.positional_embedding.shape[1]
    else:
        width = head.out_features if isinstance(head, nn.Linear) else head.shape[1]
    return TextTower(
        model=model,
        features=encode_text,
        tokenizer=checked_tokenizer(tokenizer, context_length, advice),
        context_length=context_length,
        embed_dim=width,
        token_table=text.token_embedding,
        block_modules=blocks,
        path=(model, *_text_modules(text)) if text is model else (model, *text.modules()),
        weights=lambda: text_weights(text),
        working=blocks[0].attn.out_proj,
        pooled_row=first_token(eos_id) if stack else None,
        stack=stack,
        why_not=why_not,
        settings=lambda: unlike_gelu(getattr(getattr(block, "mlp", None), "gelu", None) for block in blocks),
        **more,
    )


def _text_modules(model: Any) -> list[nn.Module]:
    parts = model.transformer, model.token_embedding, model.ln_final, model.text_projection
    return [module for part in parts if isinstance(part, nn.Module) for module in part.modules()]


def text_weights(text: nn.Module) -> Mapping[str, Tensor]:
    """The weights of a text side, which may lie flat in the model beside the image side."""
    return {k: v for k, v in text.named_parameters() if not k.startswith(("visual.", "logit_"))}


def encode_text(model: Any, tokens: Tensor) -> Tensor:
    """Features of token ids by the model's own method."""
    return model.encode_text(tokens)


def _why_not_plain_blocks(blocks: Sequence[nn.Module]) -> str:
    """The reason why these blocks are not pre-norm attention + MLP blocks known here; empty if they are."""
    for block in blocks:
        attention: Any = getattr(block, "attn", None)
        mlp = getattr(block, "mlp", None)
        standard = (
            type(attention) is nn.MultiheadAttention
            and type(attention.out_proj) in LINEAR
            and getattr(attention, "in_proj_weight", None) is not None
            and attention.bias_k is None
            and not attention.add_zero_attn
            and isinstance(mlp, nn.Sequential)
            and [name for name, _ in mlp.named_children()] == ["c_fc", "gelu", "c_proj"]
            and [hasattr(block, norm) for norm in ("ln_1", "ln_2", "ln_attn", "ln_1_kv")]
            == [True, True, False, False]
        )
        if not standard:
            return f"its blocks ({type(block).__name__}) are not the standard ones"
        if attention.dropout > 0:
            return "its attention has dropout"
    return ""


def is_causal(mask: Tensor | None) -> bool:
    """Whether an additive attention mask is zero on and below the diagonal and -inf above."""
    if mask is None or mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        return False
    expected = torch.full_like(mask, float("-inf")).triu(1)
    return bool(torch.equal(mask, expected))


def _resblock(block: Any) -> Block:
    attention: nn.MultiheadAttention = block.attn
    width = attention.embed_dim
    return Block(
        heads=attention.num_heads,
        norm1=Frozen(block.ln_1),
        queries=lambda x: _in_projection(attention, x, slice(width)),
        keys_values=lambda x: _in_projection(attention, x, slice(width, None)).chunk(2, dim=-1),
        qkv=lambda x: _in_projection(attention, x, slice(None)),
        out=Frozen(attention.out_proj),
        norm2=Frozen(block.ln_2),
        mlp=Mlp(block.mlp.c_fc, block.mlp.gelu, block.mlp.c_proj),
        scale1=Frozen(block.ls_1) if hasattr(block, "ls_1") else NO_SCALE,
        scale2=Frozen(block.ls_2) if hasattr(block, "ls_2") else NO_SCALE,
    )


def _in_projection(attention: Any, x: Tensor, part: slice) -> Tensor:
    weight = attention.in_proj_weight.detach()[part]
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias.detach()[part]
    return F.linear(x, weight, bias)


def _project(head: nn.Module | Tensor | None, x: Tensor) -> Tensor:
    if head is None:
        return x
    return Frozen(head)(x) if isinstance(head, nn.Module) else x @ head.detach()


def first_token(token_id: int | None) -> Callable[[Tensor], Tensor]:
    """Row of the first `token_id` in each prompt, or of the largest id if it is None.

    Raises:
        InputError: if a prompt has no `token_id`: the model would read its first row.
    """
    if token_id is None:
        return lambda tokens: tokens.argmax(dim=-1)

    def row(tokens: Tensor) -> Tensor:
        found = tokens == token_id
        if not found.any(dim=-1).all():
            raise InputError(
                f"the model reads a text at its end-of-text token, id {token_id}, and the tokenizer returns none: pass "
                "the tokenizer the model was trained with"
            )
        return found.int().argmax(dim=-1)

    return row
