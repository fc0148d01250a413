"""The ring operation as registered PyTorch operators: one per direction, for every implementation."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from sar_reg.errors import SarRegError
from sar_reg.sampled_kl import torch_ring
from sar_reg.shapes import Tensor


@torch.library.custom_op("sar_reg::ring_kl", mutates_args=())
def ring_kl(
    learned: Tensor, target: Tensor, order: Tensor, k: int, temperature: float, reverse: bool, impl: str
) -> tuple[Tensor, Tensor, Tensor]:
    """KL of each class over the `k` classes that follow it in `order`.

    Args:
        learned: (N, D) floating point; any strides.
        target: (N, D) floating point, no gradient.
        order: (N,) int64, a permutation of the classes.
        k: 1 .. N-1.
        temperature: divides the cosines.
        reverse: False for KL(target ‖ learned), True for KL(learned ‖ target).
        impl: "torch" or "triton".

    Returns:
        KL (N,) in class order; and, in ring order, the cosines (2, N, k) of learned and target, and per row
        learned's 1 / length (1, N), which the kernels precede by the two log-sum-exps (3, N). At most
        4 (2k + 4) bytes per row at fp32.
    """
    return _implementation(impl).forward(learned, target, order, k, temperature, reverse)


@ring_kl.register_fake
def _ring_kl_shapes(
    learned: Tensor, target: Tensor, order: Tensor, k: int, temperature: float, reverse: bool, impl: str
) -> tuple[Tensor, Tensor, Tensor]:
    n = learned.shape[0]
    dtype = torch.promote_types(torch.promote_types(learned.dtype, target.dtype), torch.float32)
    empty = partial(learned.new_empty, dtype=dtype)
    return empty((n,)), empty((2, n, k)), empty((3 if impl == "triton" else 1, n))


@torch.library.custom_op("sar_reg::ring_kl_backward", mutates_args=())
def ring_kl_backward(
    grad: Tensor,
    learned: Tensor,
    order: Tensor,
    row_kl: Tensor,
    cosines: Tensor,
    row_stats: Tensor,
    temperature: float,
    reverse: bool,
    impl: str,
) -> Tensor:
    """Gradient of `(grad * row_kl).sum()` with respect to `learned`, in learned's dtype."""
    # Here, because `backward()` may be called under an autocast that the caller of the loss never saw.
    with torch.autocast(learned.device.type, enabled=False):
        return _implementation(impl).backward(
            grad, learned, order, row_kl, cosines, row_stats, temperature, reverse
        )


@ring_kl_backward.register_fake
def _ring_kl_backward_shape(
    grad: Tensor,
    learned: Tensor,
    order: Tensor,
    row_kl: Tensor,
    cosines: Tensor,
    row_stats: Tensor,
    temperature: float,
    reverse: bool,
    impl: str,
) -> Tensor:
    return learned.new_empty(learned.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    learned, _, order, _, ctx.temperature, ctx.reverse, ctx.impl = inputs
    row_kl, cosines, row_stats = output
    ctx.mark_non_differentiable(cosines, row_stats)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(learned, order, row_kl, cosines, row_stats)


def _differentiate(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    learned, order, row_kl, cosines, row_stats = ctx.saved_tensors
    result = None
    if grad is not None:
        result = ring_kl_backward(
            grad, learned, order, row_kl, cosines, row_stats, ctx.temperature, ctx.reverse, ctx.impl
        )
    return result, None, None, None, None, None, None


def _refuse_second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise SarRegError(
        "the ring loss has no second derivative; for double backward use impl='reference', "
        "or sampling='independent' (PyTorch's own autograd)"
    )


ring_kl.register_autograd(_differentiate, setup_context=_save)
ring_kl_backward.register_autograd(_refuse_second_derivative)


def _implementation(impl: str) -> Any:
    if impl == "torch":
        return torch_ring
    from sar_reg.sampled_kl import kernels

    return kernels
