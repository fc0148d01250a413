"""One training loop for the three phases: schedule, checkpoints, and resuming where it stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

SAVE_EVERY = 50


def train(
    name: str,
    model: nn.Module,
    loss_of: Callable[[np.random.Generator, int], Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
    *,
    work: Path,
    steps: int,
    warmup: int = 30,
    seed: int = 0,
) -> None:
    """Minimise `loss_of`: constant rate after the warm-up, falling to zero over the last 40 % of the steps.

    Each step's generator depends only on (seed, step), so that a resumed run has the same result.
    The state is kept in `work/<name>.pt`.
    """
    parameters = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    state_file = work / f"{name}.pt"
    first = _resume(state_file, model, optimizers)
    model.train()
    begin, losses = time.time(), []
    for step in range(first, steps):
        share = min((step + 1) / warmup, 1.0, (steps - step) / (0.4 * steps))
        for optimizer, initial in zip(optimizers, rates, strict=True):
            for group, rate in zip(optimizer.param_groups, initial, strict=True):
                group["lr"] = rate * share
        loss = loss_of(np.random.default_rng((seed, step)), step)
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            seconds = (time.time() - begin) / (step + 1 - first)
            print(f"{name} {step + 1}/{steps} loss {np.mean(losses):.3f} {seconds:.2f} s/step", flush=True)
            losses = []
            _save(state_file, model, optimizers, step + 1)
    model.eval()


def _save(path: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], step: int) -> None:
    state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step}
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def _resume(path: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return int(state["step"])
