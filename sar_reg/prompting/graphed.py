"""Forward and backward pass of an encoder as two CUDA graphs, captured at the first call and replayed later."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sar_reg.errors import InputError, SarRegError
from sar_reg.prompting.learned import Learned
from sar_reg.prompting.prefix.packed import PackedPlan
from sar_reg.prompting.prefix.plan import PrefixPlan
from sar_reg.prompting.towers import TextTower
from sar_reg.shapes import Float, Tensor
from sar_reg.tracing import functions_allowed

_WARM_UPS = 3  # what PyTorch's own make_graphed_callables takes
_WITHOUT = "or use cuda_graph=False"


def check_capturable(tower: TextTower, plan: PrefixPlan | None) -> None:
    """Refuse an encoder whose passes cannot be captured.

    Args:
        tower: the model's text side.
        plan: the plan of its prompts, None if they share nothing.

    Raises:
        InputError: if the model is not on a CUDA device, is encoded in full, or in the grouped layout.
    """
    if not _has_graphs(tower.device):
        raise InputError(
            f"cuda_graph=True needs the model on a CUDA device, and it is on {tower.device}: move it there first, "
            f"{_WITHOUT}"
        )
    if plan is None:
        raise InputError(
            "cuda_graph=True needs a model whose prompts share their first rows; this one is encoded in full, which "
            f"cannot be captured: {tower.why_not}; use cuda_graph=False"
        )
    if not isinstance(plan, PackedPlan):
        raise InputError(f"cuda_graph=True needs the packed layout: leave layout and buckets out, {_WITHOUT}")


class GraphedEncoding:
    """The two graphs of one encoder; a copy or a pickle starts without them.

    The graphs read the memory of the model's weights and of copies of the learned tensors. Features and gradients
    are copied out, so later calls do not overwrite them. Whatever else decides the result is compared with the
    state at capture.
    """

    def __init__(self) -> None:
        self._captured: _Captured | None = None

    def __reduce__(self) -> tuple[type[GraphedEncoding], tuple[()]]:
        return GraphedEncoding, ()

    def __call__(
        self, tower: TextTower, plan: PrefixPlan | None, learned: Learned, *, recompute: bool
    ) -> Float[Tensor, "classes features"]:
        """`plan.encode`, by replay; the first call captures.

        Raises:
            InputError: if this call cannot be captured, or differs from the captured one in more than values.
            SarRegError: if CUDA refuses the capture.
        """
        check_capturable(tower, plan)
        if not functions_allowed():
            raise InputError(
                f"cuda_graph=True works neither under torch.compile nor in torch.func: leave them out, {_WITHOUT}"
            )
        if torch.cuda.is_current_stream_capturing():
            raise InputError(
                "the encoder was called during the capture of another CUDA graph, which already records it: use "
                "cuda_graph=False there"
            )
        assert plan is not None
        layer, *parts = learned.apart()
        tensors: list[Tensor] = [part for part in parts if part is not None]
        call = {"class_layer": layer, "learned tensors": _described(parts), **_settings(tower.device)}
        if self._captured is None:
            present = [part is not None for part in parts]

            def run(*tensors: Tensor) -> Tensor:
                given = iter(tensors)
                again: list[Any] = [next(given) if there else None for there in present]
                return plan.encode(tower, Learned.of_parts(layer, *again), recompute=recompute)

            self._captured = _capture(run, tensors, call, _weights(tower, plan))
        self._captured.check(call, _weights(tower, plan))
        return _Replay.apply(self._captured, *tensors)


@dataclass
class _Captured:
    """The graphs, the memory they read and write, and what they were captured for."""

    forward: Any
    backward: Any
    inputs: Sequence[Tensor]
    features: Tensor
    pull: Tensor
    gradients: Sequence[Tensor | None]
    call: dict[str, Any]
    weights: list[Any]
    run: Callable[..., Tensor]  # keeps alive what the graphs read
    calls: int = 0
    waiting: int = 0  # the call whose backward pass may still run

    def check(self, call: dict[str, Any], weights: list[Any]) -> None:
        for name, before in self.call.items():
            if call[name] != before:
                raise InputError(
                    f"the encoder's CUDA graph was captured with {name} {before}, and this call has {call[name]}: make "
                    f"an encoder for each, {_WITHOUT}"
                )
        if weights != self.weights:
            raise InputError(
                "the model was changed or moved after the encoder's CUDA graph was captured: make a new encoder, "
                f"{_WITHOUT}"
            )

    def encode(self, learned: Sequence[Tensor]) -> int:
        """Replay the forward pass; returns the number of this call."""
        for static, tensor in zip(self.inputs, learned, strict=True):
            static.detach().copy_(tensor)
        self.forward.replay()
        self.calls += 1
        self.waiting = self.calls
        return self.calls

    def differentiate(self, number: int, pull: Tensor) -> Sequence[Tensor | None]:
        """Replay the backward pass of call `number`."""
        if torch.is_grad_enabled():
            raise SarRegError(
                "with cuda_graph=True there is no second derivative (create_graph=True); use cuda_graph=False"
            )
        if number != self.waiting:
            raise SarRegError(
                "with cuda_graph=True backward must run once, and before the encoder is called again: its memory has "
                "been used by another pass; change the order, or use cuda_graph=False"
            )
        self.waiting = 0
        self.pull.copy_(pull)
        self.backward.replay()
        return [None if gradient is None else gradient.clone() for gradient in self.gradients]


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, captured: _Captured, *learned: Tensor) -> Tensor:
        ctx.captured, ctx.number = captured, captured.encode(learned)
        return captured.features.clone()

    @staticmethod
    def backward(ctx: Any, pull: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None, *ctx.captured.differentiate(ctx.number, pull)


def _capture(
    run: Callable[..., Tensor], learned: Sequence[Tensor], call: dict[str, Any], weights: list[Any]
) -> _Captured:
    device = learned[0].device
    inputs = [tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in learned]
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    # the cache of casts would keep tensors from one pass to the next
    dtype = call["autocast"]
    autocast = torch.autocast(device.type, dtype, enabled=dtype is not None, cache_enabled=False)
    forward, backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
    # other threads, such as one that pins memory, may go on during the capture
    mode: dict[str, Any] = {"stream": stream, "capture_error_mode": "thread_local"}
    try:
        with autocast:
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    features = run(*inputs)
                    torch.autograd.grad(features, wanted, torch.ones_like(features), allow_unused=True)
                    del features
            torch.cuda.current_stream(device).wait_stream(stream)
            with torch.cuda.graph(forward, **mode):
                features = run(*inputs)
            pull = torch.ones_like(features)
            with torch.cuda.graph(backward, pool=forward.pool(), **mode):
                found = torch.autograd.grad(features, wanted, pull, allow_unused=True)
    except RuntimeError as error:
        raise SarRegError(
            f"the encoder's passes could not be captured as a CUDA graph ({error}); use cuda_graph=False"
        ) from error
    each = iter(found)
    gradients = [next(each) if tensor.requires_grad else None for tensor in inputs]
    return _Captured(forward, backward, inputs, features.detach(), pull, gradients, call, weights, run)


def _has_graphs(device: torch.device) -> bool:
    return device.type == "cuda"


def _described(parts: Sequence[Tensor | None]) -> str:
    """Shape, type and whether a gradient is wanted, for comparison and for messages."""
    return ", ".join(
        "none"
        if part is None
        else f"{tuple(part.shape)} {str(part.dtype)[6:]}{' with gradient' if part.requires_grad else ''}"
        for part in parts
    )


def _settings(device: torch.device) -> dict[str, Any]:
    """Global settings of PyTorch that are fixed in a captured kernel."""
    autocast = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
    return {"autocast": autocast, "float32_matmul_precision": torch.get_float32_matmul_precision()}


def _weights(tower: TextTower, plan: PrefixPlan) -> list[Any]:
    """Which weights are read, and how often they were changed; scalars such as the logit scale are not read."""
    parameters = (p for module in tower.path for p in module._parameters.values() if p is not None)
    return [id(plan), *((p.data_ptr(), p.dtype, p._version) for p in parameters if p.ndim)]
