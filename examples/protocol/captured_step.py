"""Forward and backward pass of a training step as CUDA graphs; the optimiser runs outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from examples.protocol.data.images import Batch
from examples.protocol.method import PromptMethod
from examples.protocol.recipe import Recipe
from sar_reg import SimilarityAlignmentLoss
from sar_reg.cuda_graph import CapturedCall, check_device
from sar_reg.errors import InputError
from sar_reg.shapes import Tensor

Losses = Callable[[Batch, Mapping[str, Tensor]], dict[str, Tensor]]
"""From a batch and what the method has drawn for it to `loss`, which is differentiated, and further terms."""

_OPTION, _WITHOUT = "--cuda-graph", "leave --cuda-graph out"


def refuse_without_gpu(device: torch.device, recipe: Recipe) -> None:
    """Refuse runs whose steps cannot be captured.

    Raises:
        InputError: for another device than a GPU, and for batches in parts.
    """
    check_device(device, _OPTION, _WITHOUT)
    if recipe.accumulate > 1:
        raise InputError(
            f"{_OPTION} computes each batch as a whole, and --accumulate {recipe.accumulate} cuts it into parts: "
            "leave one of them out"
        )


class StepGraph:
    """Computes the losses of each step by replay, and their gradients in `backward`.

    Batches of one run are equally large, so one pair of graphs serves all steps. They read copies of the batch, and
    the learned tensors and SAR's step counter where they are.

    Args:
        method: its learned tensors are what gradients are for.
        sar: the regulariser, whose step counter the graph advances; None without.
        recipe: of the run.

    Raises:
        InputError: if the run's steps cannot be captured.
    """

    def __init__(self, method: PromptMethod, sar: SimilarityAlignmentLoss | None, recipe: Recipe) -> None:
        refuse_without_gpu(method.tower.device, recipe)
        tower = method.encoder.tower
        if not tower.shareable:
            raise InputError(
                f"{_OPTION} cannot capture this model's text side, which is encoded in full: {tower.why_not}; "
                f"{_WITHOUT}"
            )
        self._learned = list(method.learned().values())
        self._graph = CapturedCall(_OPTION, _WITHOUT, () if sar is None else (sar.step,))
        self._names: list[str] = []

    def __call__(self, losses: Losses, batch: Batch, drawn: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The terms of one batch; `loss` can be differentiated once, and before the next call.

        Raises:
            InputError: if the batch has other shapes than the first, or learned tensors were replaced.
            SarRegError: if CUDA refuses the capture.
        """
        views, kept = len(batch.images), [] if batch.features is None else [batch.features]

        def run(*tensors: Tensor) -> list[Tensor]:
            labels, *rest = tensors[views:]
            features = rest.pop(0) if kept else None
            static = Batch(list(tensors[:views]), labels, features, batch.whole)
            terms = losses(static, dict(zip(drawn, rest, strict=True)))
            self._names = ["loss", *(name for name in terms if name != "loss")]
            return [terms[name] for name in self._names]

        inputs = [*batch.images, batch.labels, *kept, *drawn.values()]
        found = self._graph(run, inputs, self._learned, settings={"images in a batch": batch.whole})
        return dict(zip(self._names, found, strict=True))
