"""Layers of a block: what counts as a plain one, and QuickGELU that keeps half as much for backward."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sar_reg.prompting.towers.frozen import Frozen
from sar_reg.shapes import Tensor

QUICK_GELU_SCALE = 1.702
_POINTS = torch.linspace(-6, 6, 25, dtype=torch.float64, device="cpu")


def is_plain_linear(module: nn.Module) -> bool:
    """Whether calling the module is `F.linear` with its weight and bias: not a subclass, adapter or hooked layer."""
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks  # pyright: ignore[reportPrivateUsage]
    own = type(module) is nn.Linear and getattr(module, "bias", None) is not None
    return own and not hooks and "forward" not in module.__dict__


class Mlp:
    """`down(activation(up(x)))`, with a QuickGELU of any library replaced by `quick_gelu`.

    Attributes:
        up, activation, down: the parts, for callers that compute the same product another way.
        quick: whether the activation is QuickGELU.
    """

    def __init__(self, up: nn.Module, activation: nn.Module, down: nn.Module) -> None:
        self.up, self.activation, self.down = up, activation, down
        self.quick = _is_quick_gelu(activation)

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
    return torch.allclose(
        activation(_POINTS), _POINTS * torch.sigmoid(1.702 * _POINTS), rtol=1e-12, atol=1e-12
    )


def unlike_gelu(activations: Iterable[Any]) -> str:
    """What activations do that are not GELU, at some points, for a fingerprint; nothing of those with parts."""
    curves: list[object] = []
    for activation in activations:
        if isinstance(activation, nn.Module) and not [*activation.parameters(), *activation.children()]:
            values: Tensor = activation(_POINTS)
            if not torch.allclose(values, F.gelu(_POINTS), rtol=0, atol=1e-6):
                curves.append((values * 1e6).round().long().tolist())
    return str(curves) if curves else ""
