"""What a prompt-tuning method is to the protocol: a few learned tensors around a frozen CLIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import nn
from torch.nn.functional import normalize

from examples.protocol.recipe import Recipe
from sar_reg import PromptEncoder
from sar_reg.errors import InputError
from sar_reg.prompting import TextTower, text_tower
from sar_reg.shapes import Float, Int, Tensor

Tokenizer = Callable[[list[str]], Int[Tensor, "texts context"]]


@dataclass(frozen=True)
class Step:
    """What one training step computed.

    Attributes:
        loss: what the method itself minimises (scalar, with gradient).
        text_features: (N, D), the rows the classifier would use for all N names, base first; not normalised.
        terms: the parts of the loss, unweighted: `ce`, and `reg_text`, `reg_image` if the method has them.
    """

    loss: Float[Tensor, ""]
    text_features: Float[Tensor, "classes width"]
    terms: Mapping[str, Float[Tensor, ""]]


class PromptMethod(nn.Module):
    """Learned tensors around a frozen CLIP; the protocol trains and evaluates any of these the same way.

    A method implements `__init__` (make the learned tensors), `step` and `encode_text`; where it changes the
    image side also `encode_images`. Its parameters are the learned tensors and nothing else.

    Args:
        model: the frozen CLIP; not registered as a submodule.
        tokenizer: the model's tokenizer.
        classnames: base and novel names in training, the classes to distinguish in evaluation.
        n_base: how many of them carry labels; they come first.
        recipe: hyper-parameters.
        dataset: key of the data set, for what a method keeps per data set (templates, descriptions).

    Attributes:
        encoder: the text side, made by `__init__`.
    """

    encoder: PromptEncoder

    views: ClassVar[int] = 1
    """How many differently transformed copies of each image `step` wants."""
    trains_image_side: ClassVar[bool] = False
    """Whether image features depend on learned tensors, so that they cannot be kept between epochs."""
    uses: ClassVar[frozenset[str]] = frozenset({"n_ctx", "ctx_init"})
    """Which of the recipe's `OF_METHODS` settings mean something to the method; the command refuses the others."""

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        classnames: Sequence[str],
        *,
        n_base: int,
        recipe: Recipe,
        dataset: str,
    ) -> None:
        super().__init__()
        self.check(recipe)
        if not 1 <= n_base <= len(classnames):
            raise InputError(f"n_base must lie in 1..{len(classnames)}, the number of names, not {n_base}")
        # In a tuple, lest the frozen weights become parameters of this module.
        self._frozen = (model, tokenizer)
        self.classnames = tuple(classnames)
        self.n_base = n_base
        self.recipe = recipe
        self.dataset = dataset
        tower = text_tower(model, tokenizer)
        if not isinstance(tower, TextTower):
            raise InputError(
                "a method needs a model and not a function, since it learns inside the text tower"
            )
        self.tower = tower
        self.temperature = tower.temperature  # read from the device once

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Refuse settings that the method cannot follow.

        Raises:
            InputError: for kept views if the image side is trained.
        """
        if recipe.views and cls.trains_image_side:
            raise InputError(
                f"{cls.__name__} trains the image side, so image features change in every step and cannot be kept: "
                "--views is for CoOp, KgCoOp and TCP; leave it out"
            )

    @property
    def model(self) -> Any:
        """The frozen CLIP."""
        return self._frozen[0]

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self._frozen[1]

    def draw(self) -> dict[str, Tensor]:
        """What the method draws for one batch, as further arguments of `step`; the parts of a batch share it.

        A captured step repeats its operations and no Python code, so nothing may be drawn in `step` itself.
        """
        return {}

    def step(
        self,
        images: Sequence[Float[Tensor, "batch 3 height width"]],
        labels: Int[Tensor, " batch"],
        *,
        image_features: Float[Tensor, "batch width"] | None = None,
    ) -> Step:
        """Compute the method's loss for one batch.

        Args:
            images: one tensor per view; may be empty if `image_features` are passed.
            labels: 0 … n_base − 1.
            image_features: the result of `encode_images(images[0])`, if it was stored; only for
                methods that do not train the image side.
        """
        raise NotImplementedError

    def encode_text(self) -> Float[Tensor, "classes width"]:
        """The rows the classifier uses for all names, not normalised, with gradient."""
        raise NotImplementedError

    def encode_images(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch width"]:
        """The frozen image tower's features, not normalised, without gradient."""
        with torch.no_grad():
            return self.model.encode_image(images.to(self.tower.dtype))

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"] | None = None,
        *,
        image_features: Float[Tensor, "batch width"] | None = None,
        text_features: Float[Tensor, "classes width"] | None = None,
    ) -> Float[Tensor, "batch base"]:
        """Logits over the n_base classes, from images or from features that were kept.

        Raises:
            InputError: if there is neither.
        """
        if image_features is None:
            if images is None:
                raise InputError("there is nothing to classify: pass images or image_features")
            image_features = self.encode_images(images)
        text = self.encode_text() if text_features is None else text_features
        return self.classify(image_features, text[: self.n_base])

    def classify(
        self, image_features: Float[Tensor, "batch width"], text_features: Float[Tensor, "classes width"]
    ) -> Float[Tensor, "batch classes"]:
        """`s · n(f) · n(t)ᵀ` with CLIP's own s = 1/τ; in fp32 unless the recipe asks for fp16."""
        dtype = self.prompt_dtype
        with torch.autocast(image_features.device.type, enabled=False):
            f = normalize(image_features.to(dtype), dim=-1)
            t = normalize(text_features.to(dtype), dim=-1)
            return f @ t.T / self.temperature

    def autocast(self) -> torch.autocast:
        """The context in which towers run: bf16 autocast if the recipe asks for it, else none."""
        bf16 = self.recipe.precision == "bf16"
        # a cached cast of a learned tensor would tie a captured step to memory that is free again
        return torch.autocast(self.tower.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False)

    @property
    def prompt_dtype(self) -> torch.dtype:
        """The dtype of learned tensors and of the loss."""
        return torch.float16 if self.recipe.precision == "fp16" else torch.float32

    def learned(self) -> dict[str, nn.Parameter]:
        """The learned tensors by name."""
        return dict(self.named_parameters())

    def load_learned(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over learned tensors of the same names and shapes.

        Raises:
            InputError: if names or shapes differ.
        """
        own = self.learned()
        shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
        given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if shapes != given:
            raise InputError(f"not {type(self).__name__}'s learned tensors: expected {shapes}, got {given}")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])

    def for_classes(self, classnames: Sequence[str]) -> PromptMethod:
        """The same learned tensors with other class names, all of them to be distinguished."""
        return self.with_learned(
            self.learned(), self.model, self.tokenizer, classnames, recipe=self.recipe, dataset=self.dataset
        )

    @classmethod
    def with_learned(
        cls,
        tensors: Mapping[str, Tensor],
        model: Any,
        tokenizer: Tokenizer,
        classnames: Sequence[str],
        *,
        recipe: Recipe,
        dataset: str,
    ) -> Self:
        """The method with these learned tensors, for names that are all to be distinguished."""
        with torch.random.fork_rng(
            devices=[]
        ):  # the discarded random start must not move the run's generator
            method = cls(model, tokenizer, classnames, n_base=len(classnames), recipe=recipe, dataset=dataset)
        method.load_learned(tensors)
        return method
