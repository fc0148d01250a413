"""The learnable tensors of one call, and what they are checked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from sar_reg.errors import InputError
from sar_reg.prompting.template import ContextTemplate
from sar_reg.prompting.towers import TextTower
from sar_reg.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class Learned:
    """The learnable tensors of one call; none for plain sentences."""

    context: Float[Tensor, "*classes context width"] | None = None
    deep: Sequence[Float[Tensor, "context width"]] = field(default_factory=tuple)
    class_tokens: Float[Tensor, "classes context width"] | None = None
    class_layer: int = 0

    @classmethod
    def checked(
        cls,
        tower: TextTower,
        tokens: Int[Tensor, "classes context"],
        template: ContextTemplate,
        context: Tensor,
        deep: Sequence[Tensor] | None,
        class_tokens: Tensor | None,
        class_layer: int | None,
    ) -> Learned:
        """The tensors of a call of `PromptEncoder`, if they fit its prompts.

        Raises:
            InputError: for other shapes, another device, and combinations that do not exist.
        """
        one = template.n_ctx, tower.width
        each = len(tokens), *one
        _check_context(tower, tokens, context, (one, each))
        if (deep or class_tokens is not None) and template.class_position != "end":
            raise InputError(
                f'deep prompts and class tokens need class_position="end", not "{template.class_position}"'
            )
        blocks = len(tower.block_modules)
        for number, rows in enumerate(deep or (), start=1):
            if rows.shape != one or number >= blocks:
                raise InputError(
                    f"deep prompts must be at most {blocks - 1} tensors of shape {one} for a tower of {blocks} "
                    f"blocks; number {number} has shape {tuple(rows.shape)}"
                )
        if class_tokens is None:
            if class_layer is not None:
                raise InputError(f"class_layer={class_layer} needs class_tokens to put in there")
            return cls(context, tuple(deep or ()))
        if deep:
            raise InputError("deep prompts and class tokens cannot be combined: both replace the same rows")
        if class_tokens.shape != each or class_layer is None or not 1 <= class_layer < blocks:
            raise InputError(
                f"class_tokens must have shape {each} and class_layer lie in 1 .. {blocks - 1}; "
                f"got {tuple(class_tokens.shape)} and {class_layer}"
            )
        return cls(context, (), class_tokens, class_layer)

    def of(self, classes: Int[Tensor, " some"] | slice) -> Learned:
        """The same for these classes only, by number."""
        context, tokens = self.context, self.class_tokens
        return Learned(
            context[classes] if context is not None and context.ndim == 3 else context,
            self.deep,
            None if tokens is None else tokens[classes],
            self.class_layer,
        )

    def needs_gradient(self) -> bool:
        """Whether a call with these will be differentiated."""
        tensors: tuple[Tensor | None, ...] = (self.context, self.class_tokens, *self.deep)
        return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)

    def apart(self) -> tuple[Any, ...]:
        """Its parts, for `Learned.of_parts`; a checkpoint guards tensors that it is given one by one."""
        return self.class_layer, self.context, self.class_tokens, *self.deep

    @classmethod
    def of_parts(
        cls, class_layer: int, context: Tensor | None, class_tokens: Tensor | None, *deep: Tensor
    ) -> Learned:
        """Put together what `apart` gave."""
        return cls(context, deep, class_tokens, class_layer)


def _check_context(
    tower: TextTower, tokens: Tensor, context: object, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    if not isinstance(context, torch.Tensor) or context.shape not in shapes:
        came = tuple(context.shape) if isinstance(context, torch.Tensor) else type(context).__name__
        raise InputError(f"context must have shape {shapes[0]} or {shapes[1]}, not {came}")
    if context.device != tower.device:
        raise InputError(
            f"the context lies on {context.device}, the model on {tower.device}: move one of them with .to(...)"
        )
    if type(context) is FakeTensor and not (
        context.fake_mode.allow_non_fake_inputs or type(tokens) is FakeTensor
    ):
        raise InputError(
            "the context is a FakeTensor and the model's weights are not: "
            "use FakeTensorMode(allow_non_fake_inputs=True)"
        )
