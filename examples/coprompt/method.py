"""CoPrompt (Roy and Etemad, 2024): MaPLe with adapters, kept close to a frozen CLIP that receives other inputs.

With MaPLe's features f of images and t of classes, and n(x) = x/‖x‖:

    f' = 0.9 f + 0.1 A_img(f),  t' = 0.8 t + 0.2 A_txt(t)          A(x) = ReLU(W₂ ReLU(W₁ x))
    g_i = n(frozen image feature of another view of image i)
    w_c = n(frozen text feature of description r of class c)       one r per step, shared by all classes

    L = L_CE(f', t') + W · [(1 − mean_c cos(t'_c, w_c)) + (1 − mean_i cos(f'_i, g_i))]

over the base classes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, relu

from examples.coprompt.descriptions import encode_descriptions, find_descriptions
from examples.maple.method import MaPLe
from examples.protocol.cosine_gap import cosine_gap
from examples.protocol.data.images import pinned
from examples.protocol.method import Step, Tokenizer
from sar_reg.shapes import Float, Int, Tensor

IMAGE_RATIO, TEXT_RATIO = 0.1, 0.2


class Adapter(nn.Module):
    """`(1 − ratio) · x + ratio · ReLU(W₂ ReLU(W₁ x))`, without bias; W₁ reduces the width to a quarter."""

    def __init__(self, width: int, ratio: float, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.ratio = ratio
        self.down = nn.Linear(width, width // 4, bias=False, device=device, dtype=dtype)
        self.up = nn.Linear(width // 4, width, bias=False, device=device, dtype=dtype)

    def forward(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """The adapted features, not normalised."""
        adapted = relu(self.up(relu(self.down(x.to(self.down.weight.dtype)))))
        return self.ratio * adapted + (1 - self.ratio) * x


class CoPrompt(MaPLe):
    """MaPLe's prompts, an adapter after each tower, and two teachers."""

    uses = MaPLe.uses | {"reg_weight", "descriptions"}
    views = 2

    def __init__(self, model: Any, tokenizer: Tokenizer, classnames: Sequence[str], **protocol: Any) -> None:
        super().__init__(model, tokenizer, classnames, **protocol)
        width, device = self.tower.embed_dim, self.tower.device
        self.adapter_image = Adapter(width, IMAGE_RATIO, device, self.prompt_dtype)
        self.adapter_text = Adapter(width, TEXT_RATIO, device, self.prompt_dtype)

    def encode_text(self) -> Float[Tensor, "classes width"]:
        """`t'_c` for all names; the classifier and SAR use these."""
        return self.adapter_text(super().encode_text())

    def encode_images(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch width"]:
        """The features f', with gradient."""
        return self.adapter_image(super().encode_images(images))

    @cached_property
    def description_bank(self) -> Float[Tensor, "descriptions base width"]:
        """Unit rows of every description of the base classes, encoded at the first training step."""
        names = self.classnames[: self.n_base]
        return encode_descriptions(
            self.tower, find_descriptions(self.recipe.descriptions, self.dataset, names)
        )

    def draw(self) -> dict[str, Tensor]:
        """The number r of the step's description."""
        number = torch.tensor([random.randrange(len(self.description_bank))])
        return {"description": pinned(number).to(self.tower.device, non_blocking=True)}

    def step(
        self,
        images: Sequence[Tensor],
        labels: Tensor,
        *,
        image_features: Tensor | None = None,
        description: Int[Tensor, " one"] | None = None,
    ) -> Step:
        """`L_CE + W · (reg_text + reg_image)`; the student gets the first view, the teacher the second.

        Without `description`, r is drawn here.
        """
        if description is None:
            description = self.draw()["description"]
        student_view, teacher_view = images
        text = self.encode_text()
        base = text[: self.n_base]
        features = self.encode_images(student_view)
        with torch.no_grad():
            g = self.image_encoder(teacher_view.to(self.tower.dtype))
        w = self.description_bank.index_select(0, description)[0]
        ce = cross_entropy(self.classify(features, base), labels)
        reg_text = cosine_gap(base, w, self.prompt_dtype)
        reg_image = cosine_gap(features, g, self.prompt_dtype)
        loss = ce + self.recipe.reg_weight * (reg_text + reg_image)
        return Step(
            loss=loss, text_features=text, terms={"ce": ce, "reg_text": reg_text, "reg_image": reg_image}
        )
