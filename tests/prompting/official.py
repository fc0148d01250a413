"""Prompts through an unmodified open_clip model, the slow and obvious way: the yardstick of these tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import open_clip
import torch
from torch import Tensor


def text_features(
    model: Any,
    names: Sequence[str],
    context: Tensor,
    *,
    template: str,
    position: str = "end",
    deep: Sequence[Tensor] = (),
    class_tokens: Tensor | None = None,
    class_layer: int = -1,
    tokenize: Any = open_clip.tokenize,
) -> Tensor:
    """All 77 rows of every prompt, learned rows put in where they belong."""
    text = getattr(model, "text", model)
    n_ctx = context.shape[-2]
    spoken = [name.replace("_", " ") for name in names]
    tokens = tokenize([template.format("X " * n_ctx + "{}").format(name) for name in spoken])
    rows: list[Tensor] = []
    for number, name in enumerate(spoken):
        learned = context if context.ndim == 2 else context[number]
        words = text.token_embedding(tokens[number])
        start, rest = words[:1], words[1 + n_ctx :]
        length = int(tokenize([name])[0].argmax()) - 1
        before = {"end": n_ctx, "middle": n_ctx // 2, "front": 0}[position]
        if position == "end":
            parts = [start, learned, rest]
        else:
            parts = [start, learned[:before], rest[:length], learned[before:], rest[length:]]
        rows.append(torch.cat(parts))
    x = torch.stack(rows) + text.positional_embedding
    for block, module in enumerate(text.transformer.resblocks):
        if 1 <= block <= len(deep):
            x = torch.cat([x[:, :1], deep[block - 1].expand(len(x), -1, -1), x[:, 1 + n_ctx :]], dim=1)
        if class_tokens is not None and block == class_layer:
            x = torch.cat([x[:, :1], class_tokens, x[:, 1 + n_ctx :]], dim=1)
        x = module(x, attn_mask=text.attn_mask)
    x = text.ln_final(x)[torch.arange(len(x)), tokens.argmax(dim=-1)]
    return x @ text.text_projection


def pulled(features: Tensor, *learned: Tensor) -> tuple[Tensor, ...]:
    """Features, and gradients of a fixed random weighting of them."""
    generator = torch.Generator().manual_seed(9)
    weight = torch.randn(features.shape, generator=generator, dtype=torch.float64).to(features.dtype)
    return features.detach(), *torch.autograd.grad((features * weight).sum(), learned)
