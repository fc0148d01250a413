"""Text tower of a model laid out as OpenAI's `clip` package does: blocks in order, mask kept inside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from sar_reg.prompting.towers.frozen import Frozen
from sar_reg.prompting.towers.resblocks import (
    encode_text,
    first_token,
    is_causal,
    projection,
    resblock,
    why_not_plain_blocks,
)
from sar_reg.prompting.towers.tokens import checked_tokenizer
from sar_reg.prompting.towers.tower import Stack, TextTower
from sar_reg.shapes import Tensor


def has_openai_layout(model: nn.Module) -> bool:
    """Whether a model has the attribute names of OpenAI's `clip.model.CLIP`."""
    names = ("encode_text", "token_embedding", "positional_embedding", "transformer", "ln_final")
    return all(hasattr(model, name) for name in names) and hasattr(model.transformer, "resblocks")


def openai_clip_tower(model: Any, tokenizer: Any) -> TextTower:
    """The text tower of an OpenAI-style CLIP.

    Args:
        model: a model whose blocks take `(rows, prompts, width)` and hold their own `attn_mask`.
        tokenizer: such as `clip.tokenize`, a callable `(texts, context_length=77) -> ids`.
    """
    blocks = tuple(model.transformer.resblocks)
    context_length: int = model.positional_embedding.shape[0]

    def weights() -> Mapping[str, Tensor]:
        return {k: v for k, v in model.named_parameters() if not k.startswith(("visual.", "logit_"))}

    reason = (
        "" if all(is_causal(getattr(b, "attn_mask", None)) for b in blocks) else "its attention is not causal"
    )
    reason = reason or why_not_plain_blocks(blocks)
    stack = None
    if not reason:
        stack = Stack(
            positions=lambda: model.positional_embedding.detach(),
            blocks=tuple(resblock(block) for block in blocks),
            final_norm=Frozen(model.ln_final),
            project=projection(model),
        )
    return TextTower(
        model=model,
        features=encode_text,
        given=tokenizer,
        tokenizer=checked_tokenizer(tokenizer, context_length, "give clip.tokenize."),
        context_length=context_length,
        embed_dim=model.text_projection.shape[1],
        token_table=model.token_embedding,
        block_modules=blocks,
        path=(model, model.token_embedding, *model.transformer.modules(), *model.ln_final.modules()),
        foreign=True,
        weights=weights,
        working=blocks[0].attn.out_proj,
        pooled_row=first_token(None) if stack else None,
        stack=stack,
        why_not=reason,
        rows_first=True,
        kind="OpenAI-style CLIP",
    )
