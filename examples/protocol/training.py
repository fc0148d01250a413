"""The training loop: the method's loss plus λ times SAR, for every method the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from examples.protocol.captured_step import StepGraph
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
    cuda_graph: bool = False,
) -> tuple[Curves, int]:
    """Train the method's learned tensors in place.

    Args:
        method: built for the bank's names if `sar` is passed, otherwise for the base classes.
        sar: the regulariser, or None for the method alone.
        images: the epochs.
        recipe: hyper-parameters.
        group: the processes that share each batch.
        checkpoints: where to resume from, if there is a checkpoint, and where to save.
        on_epoch: called after each epoch with its number and its means.
        cuda_graph: replay forward and backward as CUDA graphs.

    Returns:
        The curves, and the epoch at which this call took up the run (0: from the start).

    Raises:
        InputError: if the steps cannot be captured as CUDA graphs.
        SarRegError: if the loss is no longer finite.
    """
    graph = StepGraph(method, sar, recipe) if cuda_graph else None
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
            placed = batch.to(method.tower.device)
            means.add(train_step(method, sar, placed, optimizer, recipe, group, graph))
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
    graph: StepGraph | None = None,
) -> dict[str, Tensor]:
    """One step of the optimiser; returns this process's share of each term, detached.

    The batch may be cut into parts here and shared out among processes. Every part weighs by its images, so
    the gradient is that of the whole batch; SAR does not depend on images and counts with the first part.
    """
    optimizer.zero_grad()
    terms: dict[str, Tensor] = {}
    with method.autocast():
        drawn = method.draw()
    for number, part in enumerate(batch.parts(recipe.accumulate)):
        share = len(batch.labels) / batch.whole
        losses = partial(part_losses, method, sar if number == 0 else None, recipe, share)
        found = losses(part, drawn) if graph is None else graph(losses, part, drawn)
        found["loss"].backward()
        for name, value in found.items():
            terms[name] = terms.get(name, 0.0) + value.detach().float()
    group.add_up(tensor.grad for tensor in method.learned().values() if tensor.grad is not None)
    optimizer.step()
    return terms


def part_losses(
    method: PromptMethod,
    sar: SimilarityAlignmentLoss | None,
    recipe: Recipe,
    sar_share: float,
    part: Batch,
    drawn: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """A part's share of `loss` and of its terms, with gradient; `sar_share` is the share of SAR, if SAR is used."""
    share = len(part.labels) / part.whole
    with method.autocast():
        step = method.step(part.images, part.labels, image_features=part.features, **drawn)
    loss = share * step.loss
    terms = {name: share * term for name, term in step.terms.items()}
    if sar is not None:
        terms["sar"] = sar_share * sar(step.text_features)
        loss = loss + recipe.lam * terms["sar"]
    return {"loss": loss, **terms}


def _check_finite(values: dict[str, float], epoch: int) -> None:
    if not torch.isfinite(torch.tensor(values["loss"])):
        raise SarRegError(
            f"the loss became {values['loss']} in epoch {epoch + 1}; lower the learning rate, "
            "or use precision fp32 or bf16 if this was fp16"
        )
