"""Matrix products in full float32, whatever autocast and torch.set_float32_matmul_precision ask for."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

from sar_reg.shapes import Float, Tensor
from sar_reg.tracing import compiling


@contextmanager
def full_precision(device: torch.device) -> Generator[None]:
    """Neither autocast nor tf32 (CUDA) or bf16 (CPU) products inside; the caller's settings come back after."""
    # Since PyTorch 2.9 each backend has a setting of its own, and reading the common one may raise.
    backends: list[Any] = []
    common = "highest"
    if hasattr(torch.backends.mkldnn, "matmul"):
        backends = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]  # pyright: ignore[reportAttributeAccessIssue]
    else:
        common = torch.get_float32_matmul_precision()
    before = [(backend, backend.fp32_precision) for backend in backends]
    changed = [(backend, value) for backend, value in before if value not in ("ieee", "none")]
    try:
        for backend, _ in changed:
            backend.fp32_precision = "ieee"
        if common != "highest":
            torch.set_float32_matmul_precision("highest")
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend, value in changed:
            backend.fp32_precision = value
        if common != "highest":
            torch.set_float32_matmul_precision(common)


def products(
    a: Float[Tensor, "rows width"], b: Float[Tensor, "columns width"]
) -> Float[Tensor, "rows columns"]:
    """`a bᵀ`, differentiable any number of times."""
    return _operator(a, b) if compiling() else _Products.apply(a, b)


class _Products(torch.autograd.Function):
    """The eager form, which also knows forward mode and `torch.func.vmap`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        with full_precision(a.device):
            return a @ b.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        a, b = ctx.saved_tensors
        return _Products.apply(grad, b.mT), _Products.apply(grad.mT, a.mT)

    @staticmethod
    def jvp(ctx: Any, a_tangent: Tensor, b_tangent: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        a, b = ctx.saved_tensors
        return _Products.apply(a_tangent, b) + _Products.apply(a, b_tangent)


@torch.library.custom_op("sar_reg::products", mutates_args=())
def _operator(a: Tensor, b: Tensor) -> Tensor:
    """The form for torch.compile, which would otherwise choose the precision itself."""
    with full_precision(a.device):
        return a @ b.mT


@_operator.register_fake
def _shape(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[0])


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    a, b = ctx.saved_tensors
    return _operator(grad, b.mT), _operator(grad.mT, a.mT)


_operator.register_autograd(_differentiate, setup_context=_Products.setup_context)
