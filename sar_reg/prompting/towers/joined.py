"""Several linear layers of one input as a single product."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from sar_reg.prompting.towers.frozen import Frozen
from sar_reg.shapes import Tensor


def is_plain_linear(module: nn.Module) -> bool:
    """Whether calling the module is `F.linear` with its weight and bias: not a subclass, adapter or hooked layer."""
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks  # pyright: ignore[reportPrivateUsage]
    own = type(module) is nn.Linear and getattr(module, "bias", None) is not None
    return own and not hooks and "forward" not in vars(module)


class JoinedProducts:
    """`cat([layer(x) for layer in layers])`, as one product where all layers are plain.

    The joined weights are a copy, made again when a layer's weights change in place, move or are replaced.
    """

    def __init__(self, *layers: nn.Linear) -> None:
        self._layers = layers
        self._made_from: object = None
        self._weight, self._bias = torch.empty(0), torch.empty(0)

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs side by side; no gradient reaches the weights."""
        plain = all(is_plain_linear(layer) for layer in self._layers)
        if not plain or torch.compiler.is_compiling():
            return torch.cat([Frozen(layer)(x) for layer in self._layers], dim=-1)
        state = [
            (tensor.data_ptr(), tensor.dtype, None if tensor.is_inference() else tensor._version)
            for layer in self._layers
            for tensor in (layer.weight, layer.bias)
        ]
        if state != self._made_from:
            with torch.inference_mode(mode=False):
                self._weight = torch.cat([layer.weight.detach() for layer in self._layers])
                self._bias = torch.cat([layer.bias.detach() for layer in self._layers])
            self._made_from = state
        return F.linear(x, self._weight, self._bias)
