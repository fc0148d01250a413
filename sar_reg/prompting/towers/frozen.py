"""Running a module so that no gradient reaches its weights."""

from __future__ import annotations

import torch
from torch import nn

from sar_reg.shapes import Tensor


class Frozen:
    """A module whose weights never receive gradients, whatever their `requires_grad`; its hooks still run."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, *inputs: Tensor) -> Tensor:
        weights = dict(self.module.named_parameters())
        if not any(weight.requires_grad for weight in weights.values()):
            return self.module(*inputs)
        detached = {name: weight.detach() for name, weight in weights.items()}
        return torch.func.functional_call(self.module, detached, inputs)
