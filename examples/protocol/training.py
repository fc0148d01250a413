"""The training loop: the method's loss plus λ times SAR, for every method the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from examples.protocol.checkpoint import load_checkpoint, save_checkpoint
from examples.protocol.data.images import Batch, TrainingImages
from examples.protocol.distributed import SINGLE_PROCESS, ProcessGroup
from examples.protocol.method import PromptMethod
from examples.protocol.recipe import Recipe
from examples.protocol.schedule import learning_rate, make_optimizer, set_rate
from sar_reg import SimilarityAlignmentLoss
from sar_reg.errors import SarRegError
from sar_reg.shapes import Tensor

Curves = dict[str, list[float]]
"""For each epoch: `lr`, and the mean over its steps of `loss`, `ce`, `sar` and the method's regularisers."""


@dataclass(frozen=True)
class Checkpoints:
    """Where a run keeps its state, after how many epochs, and which run it is."""

    path: Path | None = None
    every: int = 0
    run: str = ""


NOT_KEPT = Checkpoints()


@dataclass
class Means:
    """Running means over the steps of an epoch, kept on the device so that no step waits for them."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count one step's terms."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.steps += 1

    def values(self) -> dict[str, float]:
        """The means as numbers."""
        return {name: float(total) / self.steps for name, total in self.sums.items()}


def train(
    method: PromptMethod,
    sar: SimilarityAlignmentLoss | None,
    images: TrainingImages,
    recipe: Recipe,
    *,
    group: ProcessGroup = SINGLE_PROCESS,
    checkpoints: Checkpoints = NOT_KEPT,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> tuple[Curves, int]:
    """Train the method's learned tensors in place.

    Args:
        method: built for the bank's names where `sar` is given, for the base classes otherwise.
        sar: the regulariser, or None for the method alone.
        images: the epochs.
        recipe: hyper-parameters.
        group: the processes that share each batch.
        checkpoints: where to go on from, if there is something, and where to save.
        on_epoch: called after each epoch with its number and its means.

    Returns:
        The curves, and the epoch at which this call took up the run (0: from the start).

    Raises:
        SarRegError: if the loss is no longer finite.
    """
    optimizer = make_optimizer(method.learned().values(), recipe)
    curves: Curves = {}
    if checkpoints.path is not None:
        stored = load_checkpoint(checkpoints.path, method, optimizer, sar, run=checkpoints.run)
        curves = stored["curves"] if stored else {}
    start = len(curves.get("lr", []))
    group.check_same(start)
    for epoch in range(start, recipe.epochs):
        rate = learning_rate(epoch, recipe.lr, recipe.epochs)
        set_rate(optimizer, rate)
        means = Means()
        for batch in images.epoch(epoch):
            means.add(train_step(method, sar, batch.to(method.tower.device), optimizer, recipe, group))
        group.add_up(means.sums.values())
        values = {"lr": rate, **means.values()}
        _check_finite(values, epoch)
        for name, value in values.items():
            curves.setdefault(name, []).append(value)
        if on_epoch is not None:
            on_epoch(epoch, values)
        due = checkpoints.every and (epoch + 1) % checkpoints.every == 0
        if due and checkpoints.path is not None and group.first:
            progress = {"curves": curves}
            save_checkpoint(checkpoints.path, method, optimizer, sar, run=checkpoints.run, progress=progress)
    return curves, start


def train_step(
    method: PromptMethod,
    sar: SimilarityAlignmentLoss | None,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    group: ProcessGroup = SINGLE_PROCESS,
) -> dict[str, Tensor]:
    """One step of the optimiser; returns this process's share of each term, detached.

    The batch may be cut into parts here and shared out among processes. Every part weighs by its images, so
    the gradient is that of the whole batch; SAR does not depend on images and counts with the first part.
    """
    optimizer.zero_grad()
    terms: dict[str, Tensor] = {}
    drawn = random.getstate()
    for number, part in enumerate(batch.parts(recipe.accumulate)):
        share = len(part.labels) / batch.whole
        random.setstate(drawn)  # a method that draws in its step draws once for the whole batch
        with method.autocast():
            step = method.step(part.images, part.labels, image_features=part.features)
        loss = share * step.loss
        computed = {name: share * term for name, term in step.terms.items()}
        if sar is not None and number == 0:
            term = len(batch.labels) / batch.whole * sar(step.text_features)
            loss = loss + recipe.lam * term
            computed["sar"] = term
        loss.backward()
        for name, value in {"loss": loss, **computed}.items():
            terms[name] = terms.get(name, 0.0) + value.detach().float()
    group.add_up(tensor.grad for tensor in method.learned().values() if tensor.grad is not None)
    optimizer.step()
    return terms


def _check_finite(values: dict[str, float], epoch: int) -> None:
    if not torch.isfinite(torch.tensor(values["loss"])):
        raise SarRegError(
            f"the loss became {values['loss']} in epoch {epoch + 1}; lower the learning rate, "
            "or use precision fp32 or bf16 if this was fp16"
        )
