"""The learnable tensors of one call, and what they are checked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch._subclasses.fake_tensor import FakeTensor

from sar_reg.checks import whole_number
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
            InputError: for other types and shapes, another device, and combinations that do not exist.
        """
        one = template.n_ctx, tower.width
        each = len(tokens), *one
        check_vectors("context", context, (one, each), tower.device)
        _check_fake(context, tokens)
        deep = several(deep)
        if (deep or class_tokens is not None) and template.class_position != "end":
            raise InputError(
                f'deep prompts and class tokens need class_position="end", not "{template.class_position}"'
            )
        blocks = len(tower.block_modules)
        if (deep or class_tokens is not None) and not blocks:
            raise InputError(f"deep prompts and class tokens need a tower with known blocks; {tower.why_not}")
        if (deep or class_tokens is not None) and len(set(tower.block_modules)) < blocks:
            raise InputError("deep prompts and class tokens need a tower that uses each of its blocks once")
        if len(deep) >= max(blocks, 1):
            raise InputError(
                f"deep prompts enter the blocks after the first, of which this tower has {blocks - 1}; "
                f"got {len(deep)}"
            )
        for number, rows in enumerate(deep):
            check_vectors(f"deep[{number}]", rows, (one,), tower.device)
        if class_tokens is None:
            if class_layer is not None:
                raise InputError(f"class_layer={class_layer} needs class_tokens to put in there")
            return cls(context, deep)
        if deep:
            raise InputError("deep prompts and class tokens cannot be combined: both replace the same rows")
        check_vectors("class_tokens", class_tokens, (each,), tower.device)
        layer = whole_number(class_layer, "class_layer", least=1, most=blocks - 1)
        return cls(context, (), class_tokens, layer)

    def of(self, classes: Int[Tensor, " some"] | slice) -> Learned:
        """The same for these classes only, by number."""
        context, tokens = self.context, self.class_tokens
        return Learned(
            context[classes] if context is not None and context.ndim == 3 else context,
            self.deep,
            None if tokens is None else tokens[classes],
            self.class_layer,
        )

    def through(self, function: Callable[[Tensor], Tensor]) -> Learned:
        """The same with each tensor passed through a function."""
        context, tokens = (None if x is None else function(x) for x in (self.context, self.class_tokens))
        return Learned(context, tuple(map(function, self.deep)), tokens, self.class_layer)

    def needs_gradient(self) -> bool:
        """Whether a call with these will be differentiated."""
        tensors: tuple[Tensor | None, ...] = (self.context, self.class_tokens, *self.deep)
        return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)

    def apart(self) -> tuple[Any, ...]:
        """Its parts, for `Learned.of_parts`; a checkpoint handles tensors only if they are passed one by one."""
        return self.class_layer, self.context, self.class_tokens, *self.deep

    @classmethod
    def of_parts(
        cls, class_layer: int, context: Tensor | None, class_tokens: Tensor | None, *deep: Tensor
    ) -> Learned:
        """Rebuild the inputs from the result of `apart`."""
        return cls(context, deep, class_tokens, class_layer)


def check_vectors(
    name: str,
    vectors: object,
    shapes: tuple[tuple[int | str, ...], ...],
    device: torch.device | None = None,
    advice: str = "",
    convert: str = "convert with .float()",
) -> None:
    """Refuse what is not a floating-point tensor of one of these shapes, and on `device` if it is passed.

    A size that is a word may be any.
    """
    if isinstance(vectors, torch.Tensor) and vectors.is_nested:
        raise InputError(f"{name} must be a dense tensor, not a nested one")
    if not isinstance(vectors, torch.Tensor) or not any(_fits(vectors.shape, shape) for shape in shapes):
        came = tuple(vectors.shape) if isinstance(vectors, torch.Tensor) else type(vectors).__name__
        expected = " or ".join(map(str, shapes)).replace("'", "")
        raise InputError(f"{name} must have shape {expected}, not {came}{advice}")
    if vectors.layout != torch.strided:
        raise InputError(f"{name} must be a dense tensor, not {vectors.layout}; convert with .to_dense()")
    if not vectors.is_floating_point() or vectors.dtype.itemsize < 2:
        raise InputError(f"{name} must be floating point, not {vectors.dtype}; {convert}")
    if device is not None and vectors.device != device:
        raise InputError(
            f"{name} must be on the model's device {device}, not on {vectors.device}; move one of them with .to(...)"
        )


def _fits(shape: tuple[int, ...], expected: tuple[int | str, ...]) -> bool:
    return len(shape) == len(expected) and all(
        isinstance(wanted, str) or size == wanted for size, wanted in zip(shape, expected, strict=True)
    )


def several(deep: object) -> tuple[Tensor, ...]:
    """The deep prompts of a call as a tuple, if they are a list or another iterable."""
    if deep is None:
        return ()
    if isinstance(deep, torch.Tensor) or not isinstance(deep, Iterable):
        raise InputError(f"deep must be a list of tensors, one for each block, not {type(deep).__name__}")
    return tuple(cast("Iterable[Tensor]", deep))


def _check_fake(context: Tensor, tokens: Tensor) -> None:
    if type(context) is FakeTensor and not (
        context.fake_mode.allow_non_fake_inputs or type(tokens) is FakeTensor
    ):
        raise InputError(
            "the context is a FakeTensor and the model's weights are not: "
            "use FakeTensorMode(allow_non_fake_inputs=True)"
        )
