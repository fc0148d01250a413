"""Layers of a block in a cheaper form: joined products, and QuickGELU that keeps half as much for backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from sar_reg.prompting.towers.frozen import Frozen
from sar_reg.shapes import Tensor

QUICK_GELU_SCALE = 1.702


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


class Mlp:
    """`down(activation(up(x)))`, with a QuickGELU of any library replaced by `quick_gelu`.

    Attributes:
        up, activation, down: the parts, for callers that compute the same product another way.
        quick: whether the activation is QuickGELU.
        scaled_bias: `QUICK_GELU_SCALE` times a bias, for callers that put the constant into the product.
    """

    def __init__(self, up: nn.Module, activation: nn.Module, down: nn.Module) -> None:
        self.up, self.activation, self.down = up, activation, down
        self.quick = _is_quick_gelu(activation)
        self.scaled_bias = Derived(lambda bias: bias * QUICK_GELU_SCALE)

    def __call__(self, x: Tensor) -> Tensor:
        """The perceptron's output, `(rows, width)`; no gradient reaches its weights."""
        act = quick_gelu if self.quick else self.activation
        return Frozen(self.down)(act(Frozen(self.up)(x)))


def quick_gelu(x: Tensor) -> Tensor:
    """`x sigmoid(1.702 x)` by way of SiLU, which keeps one tensor for backward where the product keeps two."""
    return F.silu(x * QUICK_GELU_SCALE) / QUICK_GELU_SCALE


def _is_quick_gelu(activation: nn.Module) -> bool:
    # by what it does: the libraries have a class each
    if isinstance(activation, nn.GELU) or any(True for _ in activation.parameters()):
        return False
    x = torch.linspace(-6, 6, 25, dtype=torch.float64)
    return torch.allclose(activation(x), x * torch.sigmoid(1.702 * x), rtol=1e-12, atol=1e-12)
