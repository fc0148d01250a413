"""CoOp (Zhou et al., 2022): context vectors learned in place of "a photo of a".

The prompt of class c is `t_c = E(SOS, v_1 … v_M, name_c, ".", EOT)` with M vectors v that all classes share;
E is the frozen text tower of CLIP, and f the frozen image features. With s = 1/τ and n(x) = x/‖x‖

    p(c | x) = softmax_c  s · n(f) · n(t_c)        over the base classes
    L_CE = −log p(y | x), mean over the batch

Only v is learned: M · width numbers, 2,048 for ViT-B/16 and M = 4.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.functional import cross_entropy

from examples.protocol.method import PromptMethod, Step
from sar_reg import PromptEncoder
from sar_reg.errors import InputError, counted
from sar_reg.shapes import Float, Tensor


class CoOp(PromptMethod):
    """One context for all classes, before the class name or around it (`class_position`)."""

    uses = PromptMethod.uses | {"class_position"}

    def __init__(self, model: Any, tokenizer: Any, classnames: Any, **protocol: Any) -> None:
        super().__init__(model, tokenizer, classnames, **protocol)
        words = self.recipe.ctx_init
        n_ctx = self.recipe.n_ctx
        if words and n_ctx != len(words.split()):
            raise InputError(
                f"n_ctx={n_ctx} does not fit ctx_init={words!r}, which has {counted(len(words.split()), 'word')}; "
                "pass as many words as vectors, or none for random vectors"
            )
        self.encoder = PromptEncoder(
            model, tokenizer, self.classnames, n_ctx=n_ctx, class_position=self.recipe.class_position
        )
        start = self.encoder.context_from_words(words) if words else self.encoder.random_context(std=0.02)
        self.ctx = nn.Parameter(start.to(self.prompt_dtype))

    def encode_text(self) -> Float[Tensor, "classes width"]:
        """`t_c` for all names."""
        return self.encoder(self.ctx)

    def step(self, images: Any, labels: Tensor, *, image_features: Tensor | None = None) -> Step:
        """`L_CE` over the base classes; only SAR uses the novel rows."""
        features = self.encode_images(images[0]) if image_features is None else image_features
        text = self.encode_text()
        ce = cross_entropy(self.classify(features, text[: self.n_base]), labels)
        return Step(loss=ce, text_features=text, terms={"ce": ce})
