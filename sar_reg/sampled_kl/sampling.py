"""Which K classes each class is compared with: the same integers from (seed, step) on every device.

All randomness is the hash splitmix64 in wrapping int64 arithmetic, so nothing depends on the state of a
generator, and a `step` on a GPU is never copied to the host.
"""

from __future__ import annotations

import torch

from sar_reg.checks import existing_device, whole_number
from sar_reg.sampled_kl.validation import Sampling, check_choices, check_step
from sar_reg.shapes import Int, Tensor

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_SEED_FACTOR = 0xD1B54A32D192ED03


def sample_classes(
    n: int,
    k: int,
    *,
    seed: int,
    step: int | Int[Tensor, ""],
    sampling: Sampling = "ring",
    device: torch.device | str | None = None,
) -> Int[Tensor, "n k"]:
    """For each of `n` classes, draw a uniformly random set of `k` other classes.

    `"ring"` shuffles all classes into one circle and assigns to each class the `k` that follow it;
    `"independent"` draws each row separately (paper, eq. 4). Either way one row is an exactly uniform
    `k`-subset of the others.

    Args:
        n: number of classes, at least 2.
        k: classes per row, at least 1; more than `n - 1` means `n - 1`.
        seed: any integer; it names the sequence of draws.
        step: which draw of the sequence; an int, or a 0-d int64 tensor (never read by the host).
        sampling: `"ring"` or `"independent"`.
        device: where the result lives; default that of `step`, CPU for an int.

    Returns:
        (n, k) int64: distinct within a row, never the row itself; the order within a row has no meaning.

    Raises:
        InputError: if `n`, `k` or `sampling` is out of range, if `seed` or `step` is not an integer, if a
            `step` tensor is on another device, or if the device does not exist here.

    Cost: O(n log n + n k) for the ring; O(n k²) and min(k, n - k) short steps for independent rows.

    Examples:
        >>> sample_classes(5, 2, seed=0, step=0).shape
        torch.Size([5, 2])
        >>> sample_classes(3, 64, seed=0, step=0).sort().values.tolist()
        [[1, 2], [0, 2], [0, 1]]
    """
    check_choices(sampling=sampling)
    n = whole_number(n, "n", least=2)
    k = min(whole_number(k, "k", least=1), n - 1)
    if device is not None:
        where = existing_device(device)
    else:
        where = step.device if isinstance(step, Tensor) else torch.device("cpu")
    seed, step = whole_number(seed, "seed", least=None), check_step(step, where)
    return drawn_classes(n, k, seed=seed, step=step, sampling=sampling, device=where)


def drawn_classes(
    n: int, k: int, *, seed: int, step: int | Int[Tensor, ""], sampling: Sampling, device: torch.device
) -> Int[Tensor, "n k"]:
    """`sample_classes` of checked arguments."""
    if k == n - 1:
        others = torch.arange(k, device=device).expand(n, k)
    elif sampling == "ring":
        return ring_neighbours(ring_order(n, seed=seed, step=step, device=device), k)
    else:
        others = _independent_subsets(n, k, _stream(seed, step, device))
    return others + (others >= torch.arange(n, device=device)[:, None])


def ring_order(n: int, *, seed: int, step: int | Int[Tensor, ""], device: torch.device) -> Int[Tensor, " n"]:
    """The classes in the circular order of this step: a uniformly random permutation."""
    return _hashes(_stream(seed, step, device), n).argsort(stable=True)


def ring_neighbours(order: Int[Tensor, " n"], k: int) -> Int[Tensor, "n k"]:
    """Row `order[r]` holds the `k` classes that follow ring position r."""
    n = order.shape[0]
    following = torch.cat([order, order[:k]]).unfold(0, k + 1, 1)[:, 1:]
    return following.new_empty(n, k).index_copy_(0, order, following)


def stream_offset(seed: int, step: int | Int[Tensor, ""]) -> int:
    """The part of the state before mixing that the host knows; a step tensor adds `step * GOLDEN_GAMMA`."""
    known = 0 if isinstance(step, Tensor) else step * GOLDEN_GAMMA
    return _signed(seed * _SEED_FACTOR + known)


def is_ring(sets: Int[Tensor, " classes *samples"]) -> bool:
    """Whether drawn classes are the order of a ring (N,), or a set for each class (N, k)."""
    return sets.ndim == 1


def _independent_subsets(n: int, k: int, stream: Int[Tensor, ""]) -> Int[Tensor, "n k"]:
    """Uniform `k`-subsets of 0..n-2 by Floyd's algorithm, all rows at once (or the complement's)."""
    pool = n - 1
    drawn = min(k, pool - k)
    bits = (_hashes(stream, n * drawn).view(n, drawn) >> 32) & 0xFFFFFFFF
    chosen = torch.full((n, drawn), -1, dtype=torch.int64, device=stream.device)
    for column in range(drawn):
        last = pool - drawn + column
        candidate = (bits[:, column] * (last + 1)) >> 32
        taken = (chosen[:, :column] == candidate[:, None]).any(dim=1)
        chosen[:, column] = torch.where(taken, last, candidate)
    if drawn == k:
        return chosen
    excluded = torch.zeros(n, pool, dtype=torch.uint8, device=stream.device).scatter_(1, chosen, 1)
    return excluded.argsort(dim=1, stable=True)[:, :k]


def _stream(seed: int, step: int | Int[Tensor, ""], device: torch.device) -> Int[Tensor, ""]:
    """A 64-bit state for each (seed, step)."""
    offset = stream_offset(seed, step)
    if isinstance(step, Tensor):
        return _mix(step * _signed(GOLDEN_GAMMA) + offset)
    return _mix(torch.full((), offset, dtype=torch.int64, device=device))


def _hashes(stream: Int[Tensor, ""], count: int) -> Int[Tensor, " count"]:
    """splitmix64's sequence: the mix of `stream + i γ` for i = 1 .. count."""
    # (stream / γ + i) γ, the same integers: compiled for a CPU, i γ alone writes out of bounds (PyTorch 2.14).
    i = torch.arange(1, count + 1, device=stream.device)
    return _mix((stream * _signed(pow(GOLDEN_GAMMA, -1, 1 << 64)) + i) * _signed(GOLDEN_GAMMA))


def _mix(x: Tensor) -> Tensor:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014), a bijection of 64-bit integers."""
    x = (x ^ _shift_right(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift_right(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift_right(x, 31)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """A logical shift; int64's own shift copies the sign bit."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """The int64 with the same 64 bits."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)
