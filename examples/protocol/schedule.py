"""The optimiser and the learning rate of each epoch, as the benchmark's code has them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from examples.protocol.recipe import Recipe

WARMUP_RATE = 1e-5


def learning_rate(epoch: int, lr: float, epochs: int) -> float:
    """The rate of one epoch: `1e-5` in the first, then `lr/2 · (1 + cos(π (e − 1) / E))`, never quite 0.

    >>> [round(learning_rate(e, 0.0035, 5), 8) for e in range(5)]
    [1e-05, 0.0035, 0.00316578, 0.00229078, 0.00120922]
    """
    if epoch == 0:
        return WARMUP_RATE
    return 0.5 * lr * (1 + math.cos(math.pi * (epoch - 1) / epochs))


def make_optimizer(tensors: Iterable[torch.nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """SGD (momentum 0.9, no Nesterov) or Adam with coupled weight decay, over the learned tensors."""
    if recipe.optimizer == "adam":
        return torch.optim.Adam(
            tensors, lr=recipe.lr, betas=(0.9, 0.999), eps=recipe.adam_eps, weight_decay=recipe.weight_decay
        )
    return torch.optim.SGD(tensors, lr=recipe.lr, momentum=0.9, weight_decay=recipe.weight_decay)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` in every parameter group from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate
