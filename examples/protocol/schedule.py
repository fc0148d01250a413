"""The optimiser and the learning rate of each epoch, as the benchmark's code has them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from examples.protocol.recipe import Recipe
from sar_reg.shapes import Tensor

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
    """SGD (momentum 0.9, no Nesterov) or Adam with coupled weight decay, over the learned tensors.

    On a GPU the learning rate is a tensor there, so that a captured step follows the schedule.
    """
    tensors = list(tensors)
    device, decay = tensors[0].device, recipe.weight_decay
    on_gpu = device.type == "cuda"
    rate: float | Tensor = torch.tensor(recipe.lr, device=device) if on_gpu else recipe.lr
    if recipe.optimizer == "adam":
        betas, eps = (0.9, 0.999), recipe.adam_eps
        return torch.optim.Adam(tensors, lr=rate, betas=betas, eps=eps, weight_decay=decay, capturable=on_gpu)
    # the other implementations of SGD would read a rate that is a tensor in every step
    return torch.optim.SGD(tensors, lr=rate, momentum=0.9, weight_decay=decay, fused=on_gpu or None)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` in every parameter group from the next step on."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
