"""Weights computed from a model's own, and made again when those change."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from sar_reg.prompting.towers.frozen import Frozen
from sar_reg.shapes import Tensor


class Derived:
    """`make(*weights)`, computed once and again after a weight is changed in place, moved or replaced."""

    def __init__(self, make: Callable[..., Tensor]) -> None:
        self._make = make
        self._made_from: object = None
        self._value = torch.empty(0)

    def __call__(self, *weights: Tensor) -> Tensor:
        """The derived tensor, without gradient."""
        if torch.compiler.is_compiling():
            return self._make(*(weight.detach() for weight in weights))
        state = [
            (weight.data_ptr(), weight.dtype, None if weight.is_inference() else weight._version)
            for weight in weights
        ]
        if state != self._made_from:
            with torch.inference_mode(mode=False):
                self._value = self._make(*(weight.detach() for weight in weights))
            self._made_from = state
        return self._value


def is_plain_linear(module: nn.Module) -> bool:
    """Whether calling the module is `F.linear` with its weight and bias: not a subclass, adapter or hooked layer."""
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks  # pyright: ignore[reportPrivateUsage]
    own = type(module) is nn.Linear and getattr(module, "bias", None) is not None
    return own and not hooks and "forward" not in module.__dict__


class JoinedProducts:
    """`cat([layer(x) for layer in layers])`, as one product where all layers are plain."""

    def __init__(self, *layers: nn.Linear) -> None:
        self._layers = layers
        self._weight, self._bias = (Derived(lambda *parts: torch.cat(parts)) for _ in range(2))

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs side by side; no gradient reaches the weights."""
        if not all(is_plain_linear(layer) for layer in self._layers):
            return torch.cat([Frozen(layer)(x) for layer in self._layers], dim=-1)
        weight = self._weight(*(layer.weight for layer in self._layers))
        return F.linear(x, weight, self._bias(*(layer.bias for layer in self._layers)))
