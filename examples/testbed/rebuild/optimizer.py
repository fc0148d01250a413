"""AdamW, and Muon for the transformer's matrices, which needs far fewer steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """Momentum whose update is replaced by the nearest orthogonal matrix (Newton-Schulz, float32).

    PyTorch's own Muon works in bfloat16, which was fifty times slower on the CPUs used here.
    """

    def __init__(
        self, matrices: list[nn.Parameter], rate: float, weight_decay: float, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": rate, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:  # a float only with a closure
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                memory = state.setdefault("momentum", torch.zeros_like(matrix))
                memory.mul_(group["momentum"]).add_(matrix.grad)
                direction = matrix.grad.add(memory, alpha=group["momentum"])
                rows, columns = matrix.shape
                # query, key and value share one matrix; each is orthogonalised separately
                parts = direction.chunk(3) if rows == 3 * columns else (direction,)
                update = torch.cat([_orthogonal(part) for part in parts])
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)
        return loss


def optimizers(
    model: nn.Module, rate: float, weight_decay: float, muon_rate: float
) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices if `muon_rate` > 0, AdamW for all other parameters that require grad."""
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    blocks = [p for name, p in named.items() if muon_rate > 0 and "resblocks" in name and p.ndim == 2]
    taken = {id(parameter) for parameter in blocks}
    rest = [parameter for parameter in named.values() if id(parameter) not in taken]
    groups = [
        {"params": [parameter for parameter in rest if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in rest if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))]
    if blocks:
        found.append(Muon(blocks, muon_rate, weight_decay))
    return found


def _orthogonal(matrix: Tensor, rounds: int = 5) -> Tensor:
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(rounds):
        square = x @ x.T
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
