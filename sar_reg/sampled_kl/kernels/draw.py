"""The draw in one launch: the circular order of the ring, or independent sets, from (seed, step)."""

# pyright: basic, reportArgumentType=false, reportInvalidTypeForm=false, reportGeneralTypeIssues=false
# Kernel parameters are pointers and numbers of Triton's own language, which has no annotations for them.

from __future__ import annotations

import triton
import triton.language as tl

RING_TILE = {"ROWS": 16, "BLOCK": 256, "num_warps": 4, "num_stages": 1}


def sets_tile(n: int, k: int) -> dict[str, int]:
    """Compile-time sizes: the power of two at or above what is drawn, which is the smaller of set and complement."""
    drawn = triton.next_power_of_2(max(2, min(k, n - 1 - k)))
    return {
        "DRAWN": drawn, "LOG_DRAWN": drawn.bit_length() - 1, "COMPARE": min(drawn, 32),
        "K_BLOCK": max(2, triton.next_power_of_2(k)), "num_warps": min(8, max(1, drawn // 64)), "num_stages": 1,
    }  # fmt: skip


@triton.jit(do_not_specialize=["n", "offset"])
def ring_order(
    step_ptr, order_ptr, n, offset: tl.int64, HAS_STEP: tl.constexpr, RANK: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """ROWS hashes a program; their ranks are counted, since splitmix64 is a bijection and no two are equal."""
    stream = _stream(step_ptr, offset, HAS_STEP)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    hashes = _hash(stream, row.to(tl.int64) + 1)
    if RANK:
        rank = tl.zeros((ROWS,), tl.int32)
        for first in range(0, n, BLOCK):
            other = first + tl.arange(0, BLOCK)
            smaller = (_hash(stream, other.to(tl.int64) + 1)[None, :] < hashes[:, None]) & (other < n)[
                None, :
            ]
            rank += tl.sum(smaller.to(tl.int32), 1)
        tl.store(order_ptr + rank, row.to(tl.int64), mask=row < n)
    else:
        tl.store(order_ptr + row, hashes, mask=row < n)


@triton.jit(do_not_specialize=["n", "k", "offset"])
def draw_sets(
    step_ptr, indices_ptr, n, k, offset: tl.int64, HAS_STEP: tl.constexpr,
    DRAWN: tl.constexpr, LOG_DRAWN: tl.constexpr, COMPARE: tl.constexpr, K_BLOCK: tl.constexpr,
):  # fmt: skip
    """One row a program: Floyd's algorithm without its loop.

    Step j takes `base + j` instead of its candidate if the candidate is taken: an earlier step had the same one, or
    it is `base + m` and step m took that. The latter is an OR along the chain of pointers j -> m, found by doubling.
    """
    row = tl.program_id(0)
    pool = n - 1
    drawn = tl.minimum(k, pool - k)
    base = pool - drawn
    stream = _stream(step_ptr, offset, HAS_STEP)

    place = tl.arange(0, DRAWN)
    value = _candidate(stream, row, place, drawn, base)
    taken = tl.zeros((DRAWN,), tl.int32)
    for first in range(0, drawn, COMPARE):
        earlier = first + tl.arange(0, COMPARE)
        other = _candidate(stream, row, earlier, drawn, base)
        same = (other[None, :] == value[:, None]) & (earlier[None, :] < place[:, None])
        taken |= tl.max(same.to(tl.int32), 1)
    pointer = tl.where((value >= base) & (value - base < place) & (place < drawn), value - base, place)
    for _ in tl.static_range(LOG_DRAWN):
        taken |= tl.gather(taken, pointer, 0)
        pointer = tl.gather(pointer, pointer, 0)
    value = tl.where(taken != 0, base + place, value)

    sample = tl.arange(0, K_BLOCK)
    out_ptr = indices_ptr + row.to(tl.int64) * k
    if drawn == k:
        tl.store(out_ptr + place, value + (value >= row).to(tl.int32), mask=place < drawn)
    else:
        # What was drawn is left out. The others in ascending order: r plus the number of excluded values before it,
        # which is how many of (m-th smallest excluded) - m are at most r, found by bisection.
        gap = tl.sort(tl.where(place < drawn, value, 0x3FFFFFFF)) - place
        before = tl.zeros((K_BLOCK,), tl.int32)
        for power in tl.static_range(LOG_DRAWN, -1, -1):
            upper = before + (1 << power)
            least = tl.gather(gap, tl.minimum(upper, DRAWN) - 1, 0)
            before = tl.where((upper <= drawn) & (least <= sample), upper, before)
        left = sample + before
        tl.store(out_ptr + sample, left + (left >= row).to(tl.int32), mask=sample < k)


@triton.jit
def _stream(step_ptr, offset, HAS_STEP: tl.constexpr):
    """The 64-bit state of (seed, step), see `sampling.stream_offset`."""
    state = tl.cast(offset, tl.int64)
    if HAS_STEP:
        state += tl.load(step_ptr) * -7046029254386353131
    return _mix(state)


@triton.jit
def _candidate(stream, row, place, drawn, base):
    """Floyd's candidate of step `place`: uniform on 0 .. base + place."""
    bits = (_hash(stream, row.to(tl.int64) * drawn + place + 1) >> 32) & 0xFFFFFFFF
    return ((bits * (base + place + 1)) >> 32).to(tl.int32)


@triton.jit
def _hash(stream, index):
    return _mix(stream + index * -7046029254386353131)


@triton.jit
def _mix(z):
    """splitmix64's finaliser in wrapping int64; the masks make the shifts logical."""
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return z ^ ((z >> 31) & 0x1FFFFFFFF)
