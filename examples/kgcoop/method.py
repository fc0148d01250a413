"""KgCoOp (Yao et al., 2023): CoOp with text features that stay close to those of a handcrafted sentence.

t_c is CoOp's feature of class c. w_c = n(E("a photo of a NAME.")) is the frozen feature of a sentence that depends on
the data set, with n(x) = x/‖x‖:

    L = L_CE + W · (1 − mean_c cos(t_c, w_c))        over the base classes, W = 8

The paper of KgCoOp has a squared distance instead, 2 (1 − cos) for unit vectors. This follows the official code.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from torch.nn.functional import cross_entropy

from examples.coop.method import CoOp
from examples.protocol.cosine_gap import cosine_gap
from examples.protocol.method import Step
from sar_reg.bank import SPECIFIC, encode_templates
from sar_reg.shapes import Float, Tensor

SENTENCE = {**SPECIFIC, "fgvc_aircraft": "a photo of a {}, a type of aircraft."}
"""The teacher's sentence of each data set; all others use "a photo of a {}."."""


class KgCoOp(CoOp):
    """CoOp with a text teacher for the base classes."""

    uses = CoOp.uses | {"reg_weight"}

    @cached_property
    def teacher(self) -> Float[Tensor, "base width"]:
        """`w_c` of the base classes: unit rows, frozen, encoded at the first training step."""
        sentence = SENTENCE.get(self.dataset, "a photo of a {}.")
        return encode_templates(self.tower, self.classnames[: self.n_base], [sentence])

    def step(self, images: Sequence[Tensor], labels: Tensor, *, image_features: Tensor | None = None) -> Step:
        """`L_CE + W · reg_text`, both over the base classes."""
        features = self.encode_images(images[0]) if image_features is None else image_features
        text = self.encode_text()
        base = text[: self.n_base]
        ce = cross_entropy(self.classify(features, base), labels)
        reg_text = cosine_gap(base, self.teacher, self.prompt_dtype)
        loss = ce + self.recipe.reg_weight * reg_text
        return Step(loss=loss, text_features=text, terms={"ce": ce, "reg_text": reg_text})
