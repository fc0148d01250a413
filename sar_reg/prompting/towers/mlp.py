"""The two-layer perceptron of a block, with QuickGELU in a form that keeps half as much for backward."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from sar_reg.prompting.towers.derived import Derived
from sar_reg.prompting.towers.frozen import Frozen
from sar_reg.shapes import Tensor

QUICK_GELU_SCALE = 1.702


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
    return functional.silu(x * QUICK_GELU_SCALE) / QUICK_GELU_SCALE


def _is_quick_gelu(activation: nn.Module) -> bool:
    # by what it does: the libraries have a class each
    if isinstance(activation, nn.GELU) or any(True for _ in activation.parameters()):
        return False
    x = torch.linspace(-6, 6, 25, dtype=torch.float64)
    return torch.allclose(activation(x), x * torch.sigmoid(1.702 * x), rtol=1e-12, atol=1e-12)
