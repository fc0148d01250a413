"""A model, not a measurement: lower bounds for the loss on GPUs from bytes and
floating-point operations.

    python -m benchmarks.roofline

Prints, for each GPU and N, the time for memory traffic and arithmetic alone
(fp16 learned features, fp32 bank, D = 512, K = 64), with the tiles of the
kernels and, up to 4,096 classes, the target's cosines kept. These numbers were
not measured on a GPU. At small N a kernel's latency is above these bounds.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from sar_reg import loss
from sar_reg.sampled_kl.kernels.tiles import RING_BACKWARD, RING_FORWARD

D, K = 512, 64


@dataclass(frozen=True)
class Gpu:
    """Datasheet peaks: memory bandwidth in bytes/s, dense tf32 and half-precision operations/s."""

    name: str
    bandwidth: float
    tf32: float
    half: float


GPUS = (Gpu("A100", 2.0e12, 156e12, 312e12), Gpu("H100", 3.35e12, 495e12, 990e12))
REACHED = 0.4  # share of the arithmetic peak that small tiles usually reach


def forward(n: int, gpu: Gpu) -> tuple[float, float]:
    """Seconds of the forward kernel: bytes that must move once, and arithmetic."""
    rows, columns = RING_FORWARD["ROWS"], RING_FORWARD["COLUMNS"]
    window = -(-(rows - 1 + K) // columns) * columns
    products = 2 * n * window * D
    kept = n <= loss.KEPT_GRAM
    target = n * window if kept else n * D
    moved = n * D * 2 + 4 * target + n * 4 * (2 * K + 4)
    # learned rows are multiplied as they are; the float32 bank takes three tf32 products
    arithmetic = products / gpu.half + (0 if kept else 3 * products / gpu.tf32)
    return moved / gpu.bandwidth, arithmetic / REACHED


def backward(n: int, gpu: Gpu) -> float:
    """Seconds of the backward kernel's arithmetic: two windows of coefficients against the learned rows."""
    return 2 * 2 * n * (RING_BACKWARD["ROWS"] + K) * D * 3 / gpu.tf32 / REACHED


def gather(n: int) -> float:
    """Bytes of the gathered rows of both sides that plain PyTorch writes and reads, forward only."""
    return 2 * n * K * D * 4 * 2


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print(__doc__)
    print(
        "| GPU | N | forward: memory µs | forward: arithmetic µs | backward: arithmetic µs | gathering rows: µs |"
    )
    print("|---|---|---|---|---|---|")
    for gpu in GPUS:
        for n in (250, 700, 1_200, 5_000, 21_000, 100_000):
            times = [*forward(n, gpu), backward(n, gpu)]
            times.append(gather(n) / gpu.bandwidth)
            print(f"| {gpu.name} | {n:,} | " + " | ".join(f"{1e6 * t:.1f}" for t in times) + " |")


if __name__ == "__main__":
    main()
