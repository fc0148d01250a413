"""TCP (Yao et al., 2024): tokens computed from each class's frozen text feature enter the text encoder half-way.

With n(x) = x/‖x‖ and E the frozen text tower:

    w_c = n(E(teacher sentence of c))                          frozen
    P_c = reshape(W₂ · QuickGELU(W₁ w_c + b₁) + b₂)            M class-aware tokens, M = 4
    t_c = E(SOS, v_1 … v_M, rest of the student sentence, EOT), rows 1 … M := P_c at the input of block 8
    L   = L_CE + W · (1 − mean_c cos(t_c, w_c))                over the base classes, W = 8

Learned: the context v, drawn from N(0, 0.02²), and W₁, b₁, W₂, b₂ (hidden width: a quarter of the feature width).
The context has an effect only through what later rows read from it in blocks 0 … 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from examples.protocol.cosine_gap import cosine_gap
from examples.protocol.method import PromptMethod, Step, Tokenizer
from sar_reg import PromptEncoder
from sar_reg.bank import SPECIFIC, encode_templates
from sar_reg.errors import InputError
from sar_reg.shapes import Float, Tensor

TEACHER = {**SPECIFIC, "food101": "a photo of a {}, a type of food."}
"""The sentence of w_c; data sets that are not listed use "a photo of a {}."."""

STUDENT = {
    "oxford_pets": ("", ", a type of pet."),
    "stanford_cars": ("", ", a type of car"),
    "oxford_flowers": ("", ", a type of flower."),
    "food101": ("", ", a type of food."),
    "fgvc_aircraft": ("", ", a type of aircraft."),
    "dtd": ("", " texture."),
    "ucf101": ("person doing", "."),
}
"""Text before and after the class name in the learned sentence; "" and "." for all other data sets."""


def quick_gelu(x: Tensor) -> Tensor:
    """`x · sigmoid(1.702 x)`."""
    return x * torch.sigmoid(1.702 * x)


class TCP(PromptMethod):
    """A shared context up to block `class_block`, class-aware tokens from there on."""

    uses = frozenset({"n_ctx", "class_block", "reg_weight"})

    def __init__(self, model: Any, tokenizer: Tokenizer, classnames: Sequence[str], **protocol: Any) -> None:
        super().__init__(model, tokenizer, classnames, **protocol)
        blocks = len(self.tower.block_modules)
        if not 1 <= self.recipe.class_block < blocks:
            raise InputError(
                f"class_block must lie in 1..{blocks - 1}, the blocks of this text tower after the first, "
                f"not {self.recipe.class_block}"
            )
        infix, suffix = STUDENT.get(self.dataset, ("", "."))
        n_ctx, width, joint = self.recipe.n_ctx, self.tower.width, self.tower.embed_dim
        self.encoder = PromptEncoder(
            model, tokenizer, self.classnames, n_ctx=n_ctx, infix=infix, suffix=suffix
        )
        self.teacher = encode_templates(
            self.tower, self.classnames, [TEACHER.get(self.dataset, "a photo of a {}.")]
        ).to(self.prompt_dtype)  # w_c; the novel names need tokens as well
        self.ctx = nn.Parameter(self.encoder.random_context(std=0.02).to(self.prompt_dtype))
        device, dtype = self.tower.device, self.prompt_dtype
        self.linear1 = nn.Linear(joint, joint // 4, device=device, dtype=dtype)
        self.linear2 = nn.Linear(joint // 4, n_ctx * width, device=device, dtype=dtype)

    def class_tokens(self) -> Float[Tensor, "classes context width"]:
        """`P_c` for all names."""
        hidden = quick_gelu(self.linear1(self.teacher))
        return self.linear2(hidden).reshape(len(self.classnames), *self.ctx.shape)

    def encode_text(self) -> Float[Tensor, "classes width"]:
        """`t_c` for all names."""
        return self.encoder(self.ctx, class_tokens=self.class_tokens(), class_layer=self.recipe.class_block)

    def step(self, images: Sequence[Tensor], labels: Tensor, *, image_features: Tensor | None = None) -> Step:
        """`L_CE + W · reg_text`, both over the base classes."""
        features = self.encode_images(images[0]) if image_features is None else image_features
        text = self.encode_text()
        base = text[: self.n_base]
        ce = cross_entropy(self.classify(features, base), labels)
        reg_text = cosine_gap(base, self.teacher[: self.n_base], self.prompt_dtype)
        loss = ce + self.recipe.reg_weight * reg_text
        return Step(loss=loss, text_features=text, terms={"ce": ce, "reg_text": reg_text})
