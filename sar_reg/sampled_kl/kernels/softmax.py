"""What both forward kernels share: lengths of rows, and softmax sums that run over chunks of columns."""

# pyright: basic
# Kernel parameters are pointers and numbers of Triton's own language, which has no annotations for them.

from __future__ import annotations

import triton
import triton.language as tl

LEAST: tl.constexpr = tl.constexpr(-1e30)
"""Below every logit, but finite: a row of NaN then stays NaN and no infinities are subtracted."""


@triton.jit
def length(square, largest):
    """Length of rows: 1 for zeros, whose products are 0 already; NaN if squares leave float32's safe range."""
    fits = (square >= 1e-30) & (square <= 1e36)
    zero = (square == 0) & (largest == 0)
    return tl.where(zero, 1.0, tl.where(fits, tl.sqrt(tl.where(fits, square, 1.0)), float("nan")))


@triton.jit
def add_chunk(
    learned, target, present, learned_max, target_max, learned_sum, target_sum, excess,
    AXIS: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """The running maxima, sums of exponentials and weighted gaps of the logits, with one more chunk of both."""
    learned_max, learned_fade, learned_part = _softmax_step(learned, present, learned_max, AXIS)
    target_max, target_fade, target_part = _softmax_step(target, present, target_max, AXIS)
    learned_sum = learned_sum * learned_fade + tl.sum(learned_part, AXIS)
    target_sum = target_sum * target_fade + tl.sum(target_part, AXIS)
    # A NaN class of other rows may stand where not present, which a zero weight would not silence.
    gap = tl.where(present, target - learned, 0.0)
    if REVERSE:
        excess = excess * learned_fade - tl.sum(learned_part * gap, AXIS)
    else:
        excess = excess * target_fade + tl.sum(target_part * gap, AXIS)
    return learned_max, target_max, learned_sum, target_sum, excess


@triton.jit
def _softmax_step(logit, present, running_max, AXIS: tl.constexpr):
    """The new running maximum, the factor for earlier sums, and this chunk's exponentials (0 where not present)."""
    new_max = tl.maximum(running_max, tl.max(tl.where(present, logit, -float("inf")), AXIS))
    shifted = logit - (tl.expand_dims(new_max, AXIS) if AXIS else new_max)
    part = tl.exp(tl.where(present, shifted, -float("inf")))
    return new_max, tl.exp(running_max - new_max), part


@triton.jit
def kl_of_sums(learned_max, target_max, learned_sum, target_sum, excess, REVERSE: tl.constexpr):
    """KL from the running sums; `excess` sums the weighted gaps of the logits."""
    # The log of the ratio of the sums: each log by itself has size log k, and its rounding would remain.
    log_ratio = learned_max - target_max + tl.log(learned_sum / target_sum)
    return excess / learned_sum - log_ratio if REVERSE else excess / target_sum + log_ratio
