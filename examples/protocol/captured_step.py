"""Forward and backward pass of a training step as one CUDA graph, captured at the first step and replayed later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from examples.protocol.data.images import Batch
from examples.protocol.method import PromptMethod
from examples.protocol.recipe import Recipe
from sar_reg import SimilarityAlignmentLoss
from sar_reg.errors import InputError, SarRegError
from sar_reg.shapes import Tensor

Losses = Callable[[Batch, Mapping[str, Tensor]], dict[str, Tensor]]
"""From a batch and what the method has drawn for it to `loss`, which is differentiated, and further terms."""

_WARM_UPS = 3


def refuse_without_gpu(device: torch.device, recipe: Recipe) -> None:
    """Refuse runs whose steps cannot be captured.

    Raises:
        InputError: for another device than a GPU, and for batches in parts.
    """
    if not _has_graphs(device):
        raise InputError(
            f"--cuda-graph needs a GPU, and this run is on {device}: leave it out, or pass --device cuda"
        )
    if recipe.accumulate > 1:
        raise InputError(
            f"--cuda-graph computes each batch as a whole, and --accumulate {recipe.accumulate} cuts it into parts: "
            "leave one of them out"
        )


class StepGraph:
    """Computes the losses and gradients of each step by replay; the optimiser runs outside.

    Batches of one run are equally large, so one graph serves all steps. It reads copies of the batch, and the learned
    tensors and SAR's step counter where they are; it writes the gradients to the same memory in each step.

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
                f"--cuda-graph cannot capture this model's text side, which is encoded in full: {tower.why_not}; "
                "leave --cuda-graph out"
            )
        self._learned = list(method.learned().values())
        self._counter = None if sar is None else sar.step
        self._captured: _Captured | None = None

    def __call__(self, losses: Losses, batch: Batch, drawn: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The terms of one batch, until the next; the gradients are put where the optimiser looks for them.

        Raises:
            InputError: if the batch has other shapes than the first, or learned tensors were replaced.
            SarRegError: if CUDA refuses the capture.
        """
        given = _tensors(batch, drawn)
        state = [
            [(tuple(t.shape), t.dtype) for t in given],
            batch.whole,
            [t.data_ptr() for t in self._learned],
        ]
        if self._captured is None:
            self._captured = self._capture(losses, batch, drawn, state)
        captured = self._captured
        if state != captured.state:
            raise InputError(
                "the CUDA graph of this run was captured for batches of other shapes, or other learned tensors, "
                f"{captured.state[:2]} instead of {state[:2]}: leave --cuda-graph out"
            )
        for static, tensor in zip(captured.inputs, given, strict=True):
            static.copy_(tensor, non_blocking=True)
        captured.graph.replay()
        for tensor, gradient in zip(self._learned, captured.gradients, strict=True):
            tensor.grad = gradient
        return captured.terms

    def _capture(
        self, losses: Losses, batch: Batch, drawn: Mapping[str, Tensor], state: list[Any]
    ) -> _Captured:
        device = self._learned[0].device
        static = Batch(
            [view.to(device, copy=True) for view in batch.images],
            batch.labels.to(device, copy=True),
            None if batch.features is None else batch.features.to(device, copy=True),
            batch.whole,
        )
        kept = {name: value.to(device, copy=True) for name, value in drawn.items()}

        def run() -> tuple[dict[str, Tensor], Sequence[Tensor | None]]:
            terms = losses(static, kept)
            gradients = torch.autograd.grad(terms["loss"], self._learned, allow_unused=True)
            return {name: term.detach().float() for name, term in terms.items()}, gradients

        counted = None if self._counter is None else self._counter.clone()
        stream, graph = torch.cuda.Stream(device), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream(device))
        try:
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    run()
            torch.cuda.current_stream(device).wait_stream(stream)
            # other threads, such as one that pins memory, may go on during the capture
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                terms, gradients = run()
        except RuntimeError as error:
            raise SarRegError(
                f"the step could not be captured as a CUDA graph ({error}); leave --cuda-graph out"
            ) from error
        if self._counter is not None and counted is not None:
            self._counter.copy_(counted)  # the passes that warmed up were no steps
        return _Captured(graph, _tensors(static, kept), terms, gradients, state)


@dataclass(frozen=True)
class _Captured:
    """The graph, the memory it reads and writes, and what it was captured for."""

    graph: Any
    inputs: Sequence[Tensor]
    terms: dict[str, Tensor]
    gradients: Sequence[Tensor | None]
    state: list[Any]


def _tensors(batch: Batch, drawn: Mapping[str, Tensor]) -> list[Tensor]:
    kept = [] if batch.features is None else [batch.features]
    return [*batch.images, batch.labels, *kept, *drawn.values()]


def _has_graphs(device: torch.device) -> bool:
    return device.type == "cuda"
