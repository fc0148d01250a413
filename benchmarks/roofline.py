"""A model, not a measurement: lower bounds for the loss on GPUs from bytes and
floating-point operations.

    python benchmarks/roofline.py

Prints, for each GPU and N, the time that memory traffic and arithmetic alone
would need (fp16 learned features, fp32 bank, D = 512, K = 64). Nothing here
was run on a GPU. At small N a kernel's latency is above these bounds.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

D, K = 512, 64
ROWS, COLUMNS = 16, 64  # the forward kernel's tile, see sar_reg/sampled_kl/kernels/tiles.py
BACKWARD_ROWS = 32


@dataclass(frozen=True)
class Gpu:
    """Datasheet peaks: memory bandwidth in bytes/s, dense tf32 operations/s."""

    name: str
    bandwidth: float
    tf32: float


GPUS = (Gpu("A100", 2.0e12, 156e12), Gpu("H100", 3.35e12, 495e12))
REACHED = 0.4  # share of the arithmetic peak that small tiles usually reach


def forward(n: int) -> tuple[float, float]:
    """Bytes that must move once, and operations, of the forward kernel."""
    compulsory = n * D * (2 + 4) + n * 4 * (2 * K + 4)
    window = -(-(ROWS - 1 + K) // COLUMNS) * COLUMNS
    fp16_gram, fp32_gram = 1, 3  # the fp32 bank takes three tf32 products
    return compulsory, 2 * n * window * D * (fp16_gram + fp32_gram)


def backward(n: int) -> tuple[float, float]:
    """The same of the backward kernel: two windows of coefficients against the learned rows."""
    compulsory = n * D * (2 + 2) + n * 4 * (2 * K + 6)
    return compulsory, 2 * 2 * n * (BACKWARD_ROWS + K) * D * 3


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
            moved, operations = forward(n)
            _, back = backward(n)
            times = [moved / gpu.bandwidth, operations / gpu.tf32 / REACHED, back / gpu.tf32 / REACHED]
            times.append(gather(n) / gpu.bandwidth)
            print(f"| {gpu.name} | {n:,} | " + " | ".join(f"{1e6 * t:.1f}" for t in times) + " |")


if __name__ == "__main__":
    main()
