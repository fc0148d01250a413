"""Text tower of a model laid out as OpenAI's `clip` package does: blocks in order, mask kept inside them."""

from __future__ import annotations

from typing import Any

from torch import nn

from sar_reg.prompting.towers.resblocks import NOT_CAUSAL, is_causal, resblock_tower
from sar_reg.prompting.towers.tower import TextTower


def has_openai_layout(model: nn.Module) -> bool:
    """Whether a model has the attribute names of OpenAI's `clip.model.CLIP`."""
    names = ("encode_text", "token_embedding", "positional_embedding", "transformer", "ln_final")
    return all(hasattr(model, name) for name in names) and hasattr(model.transformer, "resblocks")


def openai_clip_tower(model: Any, tokenizer: Any) -> TextTower:
    """The text tower of an OpenAI-style CLIP, whose blocks take `(rows, prompts, width)` and hold their own mask."""
    causal = all(is_causal(getattr(block, "attn_mask", None)) for block in model.transformer.resblocks)
    return resblock_tower(
        model,
        model,
        tokenizer,
        "pass clip.tokenize",
        why_not="" if causal else NOT_CAUSAL,
        context_length=model.positional_embedding.shape[0],
        given=tokenizer,
        rows_first=True,
        foreign=True,
        kind="OpenAI-style CLIP",
    )
