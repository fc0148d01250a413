"""A function and its gradient as two CUDA graphs: captured at the first call, replayed at each call.

Inputs are copied into memory that the graphs read; parameters are read where they are. Three passes on a side
stream warm up. Then the forward pass is captured and, in the same memory pool, the gradient of its first result.
Results and gradients are copied out, so a later replay does not overwrite what a caller holds.

`torch.cuda.make_graphed_callables` returns the graphs' own memory, so later calls overwrite kept features and
accumulated gradients (pytorch#181723). Before PyTorch 2.14 a thread that pins memory breaks its capture.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from sar_reg.errors import InputError, SarRegError
from sar_reg.shapes import Tensor
from sar_reg.tracing import functions_allowed

__all__ = ["CapturedCall", "check_device"]

_WARM_UPS = 3  # what make_graphed_callables takes


def check_device(device: torch.device, option: str, advice: str) -> None:
    """Refuse a device without CUDA graphs; the message names the option that asked for them, and the advice.

    Raises:
        InputError: if it is not a CUDA device.
    """
    if not _has_graphs(device):
        raise InputError(
            f"{option} needs a CUDA device, and the model is on {device}: move it there, or {advice}"
        )


class CapturedCall:
    """Calls of one function, replayed as CUDA graphs; a copy or a pickle starts without them.

    Backward must run once for each call, and before the next one. Use it from one thread. The memory of one pass
    stays taken. Random numbers are drawn at each replay.

    Args:
        option: what asked for graphs, for messages.
        advice: how to do without graphs, for messages.
        advanced: tensors that the function changes in place, such as a step counter; the capture itself leaves
            them as they were, also if it fails.
    """

    def __init__(self, option: str, advice: str, advanced: Sequence[Tensor] = ()) -> None:
        self._option, self._advice, self._advanced = option, advice, tuple(advanced)
        self._settings: dict[str, object] = {}  # empty before the capture
        self._calls = self._waiting = 0  # `_waiting` is the call whose backward pass may still run

    def __reduce__(self) -> tuple[type[CapturedCall], tuple[Any, ...]]:
        return CapturedCall, (self._option, self._advice, self._advanced)

    def __call__(
        self,
        function: Callable[..., Sequence[Tensor]],
        inputs: Sequence[Tensor],
        parameters: Sequence[Tensor] = (),
        *,
        settings: Mapping[str, object],
        read: object = (),
    ) -> Sequence[Tensor]:
        """`function(*inputs)`, by replay; later calls replay the function of the first call.

        Args:
            function: from the inputs to results, of which the first is differentiated and the others are values.
            inputs: tensors on one CUDA device.
            parameters: tensors that the function reads by itself, and for which a gradient is wanted as well.
            settings: what else decides the result, by name; must be equal in all calls.
            read: identifies the weights that the function reads; must be equal in all calls.

        Raises:
            InputError: if this call cannot be captured, or differs from the captured one in more than values.
            SarRegError: if CUDA refuses the capture; in backward, if another pass has used the memory.
        """
        if not functions_allowed():
            raise InputError(
                f"{self._option} works neither under torch.compile nor in torch.func: "
                f"leave them out, or {self._advice}"
            )
        if torch.cuda.is_current_stream_capturing():
            raise InputError(
                f"{self._option} does not work during the capture of another CUDA graph: {self._advice}"
            )
        kind = inputs[0].device.type
        settings = {
            **settings,
            "inputs": ", ".join(map(_described, inputs)),
            "autocast": torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
        }
        read = read, [(tensor.data_ptr(), _described(tensor)) for tensor in parameters]
        if not self._settings:
            if not (torch.is_grad_enabled() and any(t.requires_grad for t in (*inputs, *parameters))):
                raise InputError(
                    f"{self._option} captures the gradient as well, and nothing has one in this call (under "
                    "torch.no_grad(), or no tensor with requires_grad): "
                    f"make the first call with one, or {self._advice}"
                )
            self._capture(function, inputs, parameters)
            self._settings, self._read = settings, read
        for name, before in self._settings.items():
            if settings[name] != before:
                raise InputError(
                    f"the CUDA graph was captured with {name} {before}, and this call has {settings[name]}: "
                    f"keep it the same, or {self._advice}"
                )
        if read != self._read:
            raise InputError(
                "weights that the CUDA graph reads were changed, moved or replaced after the capture: "
                f"start again with the new ones, or {self._advice}"
            )
        return _Replay.apply(self, *inputs, *parameters)

    def _capture(
        self,
        function: Callable[..., Sequence[Tensor]],
        inputs: Sequence[Tensor],
        parameters: Sequence[Tensor],
    ) -> None:
        device = inputs[0].device
        self._function = function  # keeps alive what the graphs read
        self._inputs = [tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in inputs]
        wanted = [tensor for tensor in (*self._inputs, *parameters) if tensor.requires_grad]
        counted = [tensor.clone() for tensor in self._advanced]
        self._forward, self._backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        # other threads, such as one that pins memory, may go on during the capture
        mode: dict[str, Any] = {"stream": stream, "capture_error_mode": "thread_local"}
        low = torch.get_autocast_dtype(device.type), torch.is_autocast_enabled(device.type)
        try:
            with torch.autocast(device.type, *low, cache_enabled=False):  # a cached cast is not replayed
                try:
                    with torch.cuda.stream(stream):
                        for _ in range(_WARM_UPS):
                            first = function(*self._inputs)[0]
                            torch.autograd.grad(first, wanted, torch.ones_like(first), allow_unused=True)
                            del first
                finally:
                    torch.cuda.current_stream(device).wait_stream(stream)
                with torch.cuda.graph(self._forward, **mode):
                    results = function(*self._inputs)
                self._pull = torch.ones_like(results[0])
                with torch.cuda.graph(self._backward, pool=self._forward.pool(), **mode):
                    found = iter(torch.autograd.grad(results[0], wanted, self._pull, allow_unused=True))
        except (RuntimeError, ValueError) as error:
            raise SarRegError(
                f"this could not be captured as a CUDA graph ({error}); {self._advice}"
            ) from error
        finally:
            for tensor, before in zip(self._advanced, counted, strict=True):
                tensor.copy_(before)
        # detached: a living graph would keep parameters' gradients on the side stream
        self._results = [result.detach() for result in results]
        self._gradients = [next(found) if t.requires_grad else None for t in (*inputs, *parameters)]

    def _replay_forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The results of a new call; what follows the inputs is read where it is."""
        for static, tensor in zip(self._inputs, inputs, strict=False):
            static.detach().copy_(tensor)
        self._forward.replay()
        self._calls += 1
        self._waiting = self._calls
        return [result.clone() for result in self._results]

    def _replay_backward(self, number: int, pull: Tensor) -> list[Tensor | None]:
        """The gradients of call `number`."""
        if torch.is_grad_enabled():
            raise SarRegError(f"{self._option} has no second derivative (create_graph=True); {self._advice}")
        if number != self._waiting:
            raise SarRegError(
                f"with {self._option} backward must run once, and before the next call: its memory has been used by "
                f"another pass; change the order, or {self._advice}"
            )
        self._waiting = 0
        self._pull.copy_(pull)
        self._backward.replay()
        return [None if gradient is None else gradient.clone() for gradient in self._gradients]


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: CapturedCall, *tensors: Tensor) -> tuple[Tensor, ...]:
        first, *others = call._replay_forward(tensors)
        ctx.call, ctx.number = call, call._calls
        ctx.mark_non_differentiable(*others)
        return first, *others

    @staticmethod
    def backward(ctx: Any, pull: Tensor, *_: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None, *ctx.call._replay_backward(ctx.number, pull)


def _described(tensor: Tensor) -> str:
    gradient = " with gradient" if tensor.requires_grad else ""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}{gradient}"


def _has_graphs(device: torch.device) -> bool:
    return device.type == "cuda"
