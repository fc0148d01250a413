"""MaPLe (Khattak et al., 2023): learned tokens in the first J blocks of both towers.

    text,  block 0: SOS, p_0, "of a", name_c, ".", EOT     p_0: M rows, initialised from "a photo"
    text,  block b: rows 1 … M := p_b                      b = 1 … J − 1; p_b from N(0, 0.02²)
    image, block 0: CLS, patches, F_0(p_0)                 without positions, before the first LayerNorm
    image, block b: last M rows := F_b(p_b)                F_b linear, text width → vision width

    L = L_CE = −log softmax(s · n(f) · n(t)ᵀ)_y            over the base classes

All classes share all p_b. F_1 … F_{J−1} start as copies of one layer, as in the official code. Blocks are counted
from 0.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from examples.protocol.method import PromptMethod, Step, Tokenizer
from sar_reg import PromptEncoder
from sar_reg.errors import InputError
from sar_reg.prompting import ImagePromptEncoder
from sar_reg.shapes import Float, Tensor


class MaPLe(PromptMethod):
    """Textual prompts of depth J, and visual prompts that are linear projections of them."""

    uses = PromptMethod.uses | {"depth"}
    trains_image_side = True

    def __init__(self, model: Any, tokenizer: Tokenizer, classnames: Sequence[str], **protocol: Any) -> None:
        super().__init__(model, tokenizer, classnames, **protocol)
        words, n_ctx, depth = self.recipe.ctx_init.split(), self.recipe.n_ctx, self.recipe.depth
        self.image_encoder = ImagePromptEncoder(model)
        blocks = min(len(self.tower.block_modules), self.image_encoder.n_blocks)
        if depth > blocks:
            raise InputError(f"depth must be at most {blocks}, the blocks of the smaller tower, not {depth}")
        if words and n_ctx > len(words):
            raise InputError(
                f"n_ctx={n_ctx} needs as many words to start from, but ctx_init={self.recipe.ctx_init!r} has "
                f"{len(words)}; pass more words, or none for random vectors"
            )
        self.encoder = PromptEncoder(
            model, tokenizer, self.classnames, n_ctx=n_ctx, infix=" ".join(words[n_ctx:])
        )
        text_width, vision_width, device = self.tower.width, self.image_encoder.width, self.tower.device
        start = (
            self.encoder.context_from_words(self.recipe.ctx_init)
            if words
            else self.encoder.random_context(std=0.02)
        )
        self.ctx = nn.Parameter(start.to(self.prompt_dtype))  # p_0
        self.proj = nn.Linear(text_width, vision_width, device=device, dtype=self.prompt_dtype)  # F_0
        self.deep_ctx = nn.ParameterList(
            nn.Parameter(0.02 * torch.randn(n_ctx, text_width, device=device)) for _ in range(depth - 1)
        )
        layer = nn.Linear(text_width, vision_width, device=device)
        self.deep_proj = nn.ModuleList(copy.deepcopy(layer) for _ in range(depth - 1))

    def encode_text(self) -> Float[Tensor, "classes width"]:
        """`t_c` for all names."""
        return self.encoder(self.ctx, deep=list(self.deep_ctx))

    def encode_images(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch width"]:
        """The features f with F_b(p_b) in the image tower, with gradient."""
        deep = [proj(ctx) for proj, ctx in zip(self.deep_proj, self.deep_ctx, strict=True)]
        return self.image_encoder(images.to(self.tower.dtype), self.proj(self.ctx), deep)

    def step(self, images: Sequence[Tensor], labels: Tensor, *, image_features: Tensor | None = None) -> Step:
        """`L_CE` over the base classes."""
        text = self.encode_text()
        ce = cross_entropy(self.classify(self.encode_images(images[0]), text[: self.n_base]), labels)
        return Step(loss=ce, text_features=text, terms={"ce": ce})
