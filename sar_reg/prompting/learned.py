"""The learnable tensors of one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from sar_reg.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class Learned:
    """The learnable tensors of one call; none for plain sentences."""

    context: Float[Tensor, "*classes context width"] | None = None
    deep: Sequence[Float[Tensor, "context width"]] = field(default_factory=tuple)
    class_tokens: Float[Tensor, "classes context width"] | None = None
    class_layer: int = 0

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
