"""One transformer block over bins, in few operations and with little kept for backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from sar_reg.prompting.prefix.bins import Bins
from sar_reg.prompting.towers import Block
from sar_reg.prompting.towers.layers import QUICK_GELU_SCALE as _SCALE
from sar_reg.prompting.towers.layers import is_plain_linear
from sar_reg.shapes import Float, Int, Tensor
from sar_reg.tracing import functions_allowed, transformed


class Folded(NamedTuple):
    """Weights of a block in a form that takes fewer operations; None if its own layers are called.

    Attributes:
        qkv: weight and bias of one product for queries, keys and values.
        up_bias: the first bias of the perceptron, if that is one autograd node.
    """

    qkv: tuple[Tensor, Tensor] | None
    up_bias: Tensor | None


def folded(blocks: Sequence[Block]) -> list[Folded]:
    """For all blocks, in two operations; at each call, because an edit by way of `.data` leaves no trace."""
    numbered = dict(enumerate(blocks))
    joined = [
        i for i, block in numbered.items() if block.separate and all(map(is_plain_linear, block.separate))
    ]
    qkv: dict[int, tuple[Tensor, Tensor]] = {}
    if joined:
        layers = [numbered[i].separate for i in joined]
        parts = [
            [getattr(m, name).detach().flatten() for m in three]
            for three in layers
            for name in ("weight", "bias")
        ]
        flat = torch.cat([part for three in parts for part in three])
        pieces = iter(flat.split([sum(map(len, three)) for three in parts]))
        qkv = {
            i: (weight.view(len(bias), -1), bias)
            for i, weight, bias in zip(joined, pieces, pieces, strict=True)
        }
    mlps: dict[int, Any] = {i: block.mlp for i, block in numbered.items() if _fusible(block)}
    biases: dict[int, Tensor] = {i: mlp.up.bias.detach() for i, mlp in mlps.items()}
    quick = [i for i, mlp in mlps.items() if mlp.quick]
    if quick:
        biases |= zip(quick, _multiply([biases[i] for i in quick], _SCALE), strict=True)
    return [Folded(qkv.get(i), biases.get(i)) for i in numbered]


_multiply: Callable[..., Sequence[Tensor]] = torch._foreach_mul  # pyright: ignore  what torch.optim is made of


def packed_block(
    block: Block,
    x: Float[Tensor, "rows width"],
    bins: Bins,
    mask: Float[Tensor, "count 1 length length"],
    weights: Folded,
    ends: Int[Tensor, " classes"] | None,
    keep_hidden: bool,
) -> Float[Tensor, "rows_or_classes width"]:
    """The block's output for all rows, or behind its attention only for the rows `ends`.

    Args:
        block: the parts of the block.
        x: the stream that `bins` describes.
        bins: where the rows lie.
        mask: `bins.mask`, in the type of the queries.
        weights: those of `folded`.
        ends: rows that go on behind the attention; None: all.
        keep_hidden: keep the perceptron's hidden rows for backward instead of computing them again.
    """
    shape = bins.count, bins.length, block.heads, -1
    h = block.norm1(x)
    qkv = F.linear(h, *weights.qkv) if weights.qkv else block.qkv(h)
    q, k, v = (part.view(shape).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
    # cuDNN's attention has given NaN gradients with such masks (pytorch#196678)
    known_good = sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
    # transforms may ask for derivatives that only the plain formula has
    plain = sdpa_kernel(SDPBackend.MATH) if transformed() else nullcontext()
    with known_good if x.is_cuda and not transformed() else plain:
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    read = read.transpose(1, 2).reshape(len(x), -1)
    if ends is not None:
        x, read = x.index_select(0, ends), read.index_select(0, ends)
    x = x + block.scale1(block.out(read))
    if weights.up_bias is not None:
        return _fused_half(block, x, weights.up_bias, keep_hidden)
    return x + block.scale2(block.mlp(block.norm2(x)))


def _fusible(block: Block) -> bool:
    """Whether the perceptron may run as one node of autograd: plain layers, an activation with a known derivative."""
    plain = (
        is_plain_linear(block.mlp.up)
        and is_plain_linear(block.mlp.down)
        and type(block.scale2.module) is nn.Identity
    )
    known = block.mlp.quick or type(block.mlp.activation) is nn.GELU
    return plain and known and functions_allowed()


def _fused_half(block: Block, x: Tensor, bias: Tensor, keep_hidden: bool) -> Tensor:
    up: Any = block.mlp.up
    down: Any = block.mlp.down
    weights = up.weight.detach(), bias, down.weight.detach(), down.bias.detach()
    h = block.norm2(x)
    approximate = "" if block.mlp.quick else str(block.mlp.activation.approximate)
    return _ResidualMlp.apply(x, h, *weights, approximate, None if keep_hidden else block.norm2)


class _ResidualMlp(torch.autograd.Function):
    """`x + down(act(up(h)))` with `h = norm(x)`, as one node.

    QuickGELU is `silu(1.702 u) / 1.702`: both constants go into the products, and cancel in backward. Without
    `hidden` kept, the norm and the first product are computed again from `x`, which the norm keeps anyway.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        h: Tensor,
        up: Tensor,
        up_bias: Tensor,
        down: Tensor,
        down_bias: Tensor,
        approximate: str,
        norm: Callable[[Tensor], Tensor] | None,
    ) -> Tensor:
        ctx.approximate, ctx.norm = approximate, norm
        hidden = _hidden(h, up, up_bias, approximate)
        ctx.save_for_backward(x if norm else hidden, up, up_bias, down)
        device = x.device.type
        ctx.autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        if approximate:
            return x + torch.addmm(down_bias, F.gelu(hidden, approximate=approximate), down.t())
        return x + torch.addmm(down_bias, F.silu(hidden), down.t(), alpha=1 / _SCALE)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        kept, up, up_bias, down = ctx.saved_tensors
        autocast = torch.autocast(grad.device.type, ctx.autocast) if ctx.autocast else nullcontext()
        with autocast:
            hidden = _hidden(ctx.norm(kept), up, up_bias, ctx.approximate) if ctx.norm else kept
            pull = (grad @ down).to(hidden.dtype)
            if ctx.approximate:
                pull = torch.ops.aten.gelu_backward(pull, hidden, approximate=ctx.approximate)
            else:
                pull = torch.ops.aten.silu_backward(pull, hidden)
            return grad, pull @ up, None, None, None, None, None, None


def _hidden(h: Tensor, up: Tensor, bias: Tensor, approximate: str) -> Tensor:
    return torch.addmm(bias, h, up.t(), alpha=1.0 if approximate else _SCALE)
