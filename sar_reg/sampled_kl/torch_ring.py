"""The ring operation in PyTorch: blocked matrix products along the ring, closed-form backward.

In ring order the sampled similarities form a band: row r meets columns r+1 .. r+K. A block of rows needs one
contiguous window of the ring, so each step is a batched matmul of (rows, window) whose band is read or
written through a diagonal view. Nothing of size N x N or N x K x D exists, and nothing is scattered.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from sar_reg.sampled_kl.products import full_precision
from sar_reg.sampled_kl.reference import divergence, power_of_two, result_dtype
from sar_reg.shapes import Float, Int, Tensor

_ROWS = 32  # rows per product: larger wastes work outside the band, smaller is slow
_CHUNK = 4096  # rows per batch of matmuls, which bounds the temporary memory


def forward(
    learned: Float[Tensor, "classes width"],
    target: Float[Tensor, "classes width"],
    order: Int[Tensor, " classes"],
    k: int,
    temperature: float,
    mean: bool,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """KL per class, and what the backward pass needs; see `operator.sampled_kl`."""
    dtype = result_dtype(learned, target)
    n = learned.shape[0]
    saved = learned.new_empty(saved_count(order, k), dtype=dtype)
    cosines = saved[: 2 * k * n].view(2, n, k)
    with full_precision(learned.device):
        saved[2 * k * n :] = _band_cosines(learned, order, cosines[0])
        _band_cosines(target, order, cosines[1])
    log_q, log_p = (cosines / temperature).log_softmax(-1).unbind()
    kl = divergence(log_p, log_q, reverse)
    if mean:
        kl /= n
    row_kl = torch.empty_like(kl).index_copy_(0, order, kl)
    return row_kl, saved


def backward(
    grad: Float[Tensor, " classes"],
    learned: Float[Tensor, "classes width"],
    order: Int[Tensor, " classes"],
    saved: Float[Tensor, " numbers"],
    k: int,
    temperature: float,
    mean: bool,
    reverse: bool,
) -> Float[Tensor, "classes width"]:
    """Gradient of `(grad * KL).sum()` with respect to `learned`.

    With u the unit rows and g_ij the gradient of the cosine ij, class a receives r_a (v - (v · u_a) u_a), where
    v = Σ_j g_aj u_j + Σ_i g_ia u_i and r_a = 1 / length: the classes before it on the ring and those after it form
    one band of 2K + 1 coefficients, whose middle one (the class itself) is 0.
    """
    n = learned.shape[0]
    logits = saved[: 2 * k * n].view(2, n, k) / temperature
    weight = (grad[order] / (temperature * n if mean else temperature))[:, None]
    if reverse:
        log_q, log_p = logits.log_softmax(-1).unbind()
        gap = log_q - log_p
        q = log_q.exp()
        outgoing = q * (gap - (q * gap).sum(-1, keepdim=True)) * weight
    else:
        q, p = logits.softmax(-1).unbind()
        outgoing = (q - p) * weight
    own = outgoing.new_zeros(outgoing.shape[0], 1)
    band = torch.cat([_seen_from_column(outgoing), own, outgoing], dim=1)
    with full_precision(learned.device):
        return _band_times_rows(band, learned, order, saved[2 * k * n :])


def saved_count(order: Int[Tensor, " classes"], k: int) -> int:
    """How many numbers `forward` saves: the cosines (2, N, k) in ring order, and 1 / length (N)."""
    return order.shape[0] * (2 * k + 1)


def _band_cosines(features: Tensor, order: Tensor, cosines: Tensor) -> Tensor:
    """Fill `cosines[r, j]` with cos of ring positions r and r + 1 + j; return 1 / length in ring order."""
    n, k = cosines.shape
    inverse_length = cosines.new_empty(n)
    window = _ROWS + k
    for start in range(0, n, _CHUNK):
        stop = min(start + _CHUNK, n)
        blocks = -(-(stop - start) // _ROWS)
        x = features.index_select(0, _wrapped(order, start, start + blocks * _ROWS + k)).to(cosines.dtype)
        power = power_of_two(x)
        x /= power
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        inverse = length.reciprocal().masked_fill_(length == 0, 0)
        inverse_length[start:stop] = (inverse / power)[: stop - start, 0]
        x *= inverse
        tile = x[: blocks * _ROWS].view(blocks, _ROWS, -1) @ x.unfold(0, window, _ROWS)
        band = tile.as_strided((blocks, _ROWS, k), (_ROWS * window, window + 1, 1), 1)
        cosines[start:stop] = band.reshape(-1, k)[: stop - start]
    return inverse_length


def _band_times_rows(band: Tensor, features: Tensor, order: Tensor, inverse_length: Tensor) -> Tensor:
    """r_a (v - (v · u_a) u_a), v = Σ_j band[a, j] u[a - K + j], for every ring position a, in class order.

    The part along u_a is taken off v as it was summed, with its rounding: what should vanish does.
    """
    n, width = band.shape
    k = width // 2
    window = _ROWS + 2 * k
    result = features.new_empty(features.shape)  # contiguous, as the operator promises the compiler
    for start in range(0, n, _CHUNK):
        stop = min(start + _CHUNK, n)
        blocks = -(-(stop - start) // _ROWS)
        scale = _wrapped(inverse_length, start - k, start + blocks * _ROWS + k)[:, None]
        x = features.index_select(0, _wrapped(order, start - k, start + blocks * _ROWS + k)).to(band.dtype)
        x *= scale
        tile = band.new_zeros(blocks, _ROWS, window)
        diagonal = tile.as_strided((blocks, _ROWS, width), (_ROWS * window, window + 1, 1))
        diagonal.copy_(_padded(band[start:stop], blocks * _ROWS).view(diagonal.shape))
        rows = (tile @ x.unfold(0, window, _ROWS).mT).view(blocks * _ROWS, -1)[: stop - start]
        own = x[k : k + stop - start]
        rows.addcmul_(own, torch.linalg.vecdot(rows, own)[:, None], value=-1)
        rows *= scale[k : k + stop - start]
        result.index_copy_(0, order[start:stop], rows.to(result.dtype))
    return result


def _seen_from_column(band: Tensor) -> Tensor:
    """`out[a, j] = band[a - K + j, K - 1 - j]`: the entries whose column is ring position a."""
    n, k = band.shape
    extended = torch.cat([band[n - k :], band])
    return extended.as_strided((n, k), (k, k - 1), k - 1)


def _wrapped(ring: Tensor, start: int, stop: int) -> Tensor:
    """The entries at ring positions start .. stop - 1, going round as often as needed."""
    n = ring.shape[0]
    if start >= 0 and stop <= n:
        return ring[start:stop]
    return ring[torch.arange(start, stop, device=ring.device) % n]


def _padded(rows: Tensor, count: int) -> Tensor:
    return rows if rows.shape[0] == count else functional.pad(rows, (0, 0, 0, count - rows.shape[0]))
