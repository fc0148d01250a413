"""The operation with its gradient: as an autograd Function in eager mode, as registered operators when traced.

The Function costs half the host time of an operator (measured on a CPU); torch.compile, fake tensors and make_fx need
the operators, since they would not see what a Function launches.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from sar_reg.errors import SarRegError
from sar_reg.sampled_kl import torch_ring
from sar_reg.sampled_kl.reference import result_dtype
from sar_reg.sampled_kl.sampling import stream_offset
from sar_reg.shapes import Float, Int, Tensor
from sar_reg.tracing import compiling


def draw(
    like: Tensor, k: int | None, seed: int, step: int | Int[Tensor, ""]
) -> Int[Tensor, " classes *samples"]:
    """Independent sets (N, k), or the order of a ring (N,) without k, in one launch on `like`'s device."""
    on_device = step if isinstance(step, Tensor) else None
    run = _draw if _traced(like) else _run_draw
    return run(like, on_device, k, stream_offset(seed, step))


def sampled_kl(
    learned: Float[Tensor, "classes width"],
    target: Float[Tensor, "classes width"],
    gram: Float[Tensor, "classes classes"] | None,
    sets: Int[Tensor, " classes *samples"],
    k: int,
    temperature: float,
    mean: bool,
    reverse: bool,
    impl: str,
) -> Float[Tensor, " classes"]:
    """KL of each class over its `k` sampled classes.

    Args:
        learned: (N, D) floating point; any strides.
        target: (N, D) floating point, no gradient.
        gram: (N, N) cosines of the target, if they are kept.
        sets: (N,) int64 the classes in ring order, or (N, k) int32 sets without repetition ("triton" only).
        k: 1 .. N-1.
        temperature: divides the cosines.
        mean: return KL / N, whose sum is the mean; the sum's gradient needs no operation.
        reverse: False for KL(target ‖ learned), True for KL(learned ‖ target).
        impl: "torch" or "triton".
    """
    arguments = (learned, target, gram, sets, k, temperature, mean, reverse, impl)
    return _operator(*arguments)[0] if _traced(learned) else _Forward.apply(*arguments)[0]


def _traced(x: Tensor) -> bool:
    plain = type(x) in (Tensor, torch.nn.Parameter)
    return compiling() or not plain or get_proxy_mode() is not None


def _run_draw(like: Tensor, step: Tensor | None, k: int | None, offset: int) -> Tensor:
    return _implementation("triton").draw(like.shape[0], k, step, offset, like.device)


_draw = torch.library.custom_op("sar_reg::draw", _run_draw, mutates_args=())


@_draw.register_fake
def _draw_shape(like: Tensor, step: Tensor | None, k: int | None, offset: int) -> Tensor:
    n = like.shape[0]
    ring = k is None
    return like.new_empty((n,) if ring else (n, k), dtype=torch.int64 if ring else torch.int32)


_OPTIONS = "SymInt k, float temperature, bool mean, bool reverse, str impl"


def _run_forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    """KL (N,), and what backward needs: two numbers per pair and one to three per row."""
    learned, target, gram, sets, *options, impl = arguments
    kept = () if impl == "torch" else (gram,)  # the PyTorch path does not use the target's cosines
    return _implementation(impl).forward(learned, target, *kept, sets, *options)


_operator = torch.library.custom_op(
    "sar_reg::sampled_kl", _run_forward, mutates_args=(),
    schema=f"(Tensor learned, Tensor target, Tensor? gram, Tensor sets, {_OPTIONS}) -> (Tensor, Tensor)",
)  # fmt: skip


@_operator.register_fake
def _forward_shapes(learned: Tensor, target: Tensor, gram: Any, sets: Tensor, k: int, *options: Any) -> Any:
    impl = options[-1]
    empty = partial(learned.new_empty, dtype=result_dtype(learned, target))
    return empty((learned.shape[0],)), empty((_implementation(impl).saved_count(sets, k),))


def _run_backward(*arguments: Any) -> Tensor:
    """Gradient of `(grad * KL).sum()` with respect to `learned`, in learned's dtype."""
    *inputs, impl = arguments
    return _implementation(impl).backward(*inputs)


_backward_operator = torch.library.custom_op(
    "sar_reg::sampled_kl_backward", _run_backward, mutates_args=(),
    schema=f"(Tensor grad, Tensor learned, Tensor sets, Tensor saved, {_OPTIONS}) -> Tensor",
)  # fmt: skip


@_backward_operator.register_fake
def _backward_shape(grad: Tensor, learned: Tensor, *others: Any) -> Tensor:
    return learned.new_empty(learned.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    learned, _, _, sets, *ctx.options = inputs
    _, saved = output
    ctx.mark_non_differentiable(saved)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(learned, sets, saved)


def _differentiate(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    result = None
    if grad is not None:
        run = _backward_operator if _traced(grad) else _Backward.apply
        try:
            result = run(grad, *ctx.saved_tensors, *ctx.options)
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            raise SarRegError(
                "the fused loss has no batched gradient (is_grads_batched=True, vectorize=True); use impl='reference', "
                "or torch.func.vmap"
            ) from error
    return result, *(None,) * 8


def _refuse_second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise SarRegError(
        "the fused loss has no second derivative; for double backward use impl='reference', "
        "or impl='torch' with sampling='independent' (PyTorch's own autograd)"
    )


_operator.register_autograd(_differentiate, setup_context=_save)
_backward_operator.register_autograd(_refuse_second_derivative)


class _Once(torch.autograd.Function):
    """What the two Functions share: refused forward mode, and `torch.func.vmap` as one call per element."""

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise SarRegError(
            "the fused loss has no forward-mode derivative (jvp, jacfwd); use impl='reference', or reverse mode "
            "(grad, vjp, jacrev)"
        )

    @classmethod
    def vmap(cls, info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        calls = [
            cls.apply(
                *(a if dim is None else a.select(dim, i) for a, dim in zip(arguments, in_dims, strict=True))
            )
            for i in range(info.batch_size)
        ]
        if isinstance(calls[0], Tensor):
            return torch.stack(calls), 0
        return tuple(torch.stack(list(parts)) for parts in zip(*calls, strict=True)), (0, 0)


class _Forward(_Once):
    forward = staticmethod(_run_forward)
    setup_context = staticmethod(_save)
    backward = staticmethod(_differentiate)


class _Backward(_Once):
    forward = staticmethod(_run_backward)
    backward = staticmethod(_refuse_second_derivative)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Nothing is kept: there is no second derivative."""


def _implementation(impl: str) -> Any:
    if impl == "torch":
        return torch_ring
    from sar_reg.sampled_kl import kernels

    return kernels
