"""Four ways to attend to shared and own keys, in one block: the reason for the
encoder's attention.

    python -m benchmarks.prompt_attention

300 ImageNet names behind 5 shared rows, width 512, 8 heads, float32, forward +
backward, CPU seconds of one thread; "kept" is the memory for backward.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.cost_model import own_lengths
from benchmarks.measuring import machine, measure
from sar_reg.files import write_atomic
from sar_reg.prompting.prefix.attention import attend, by_head

RECORD = Path(__file__).parent / "results" / "prompt_attention.json"
HEADS, SHARED, WIDTH = 8, 5, 512
Way = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int], Tensor]


def causal(length: int) -> Tensor:
    """Additive mask of one sequence."""
    return torch.full((length, length), float("-inf")).triu(1)


def ours(q: Tensor, k: Tensor, v: Tensor, sk: Tensor, sv: Tensor, classes: int) -> Tensor:
    """Heads first, one softmax over both scores."""
    mask = causal(len(q) // classes)[None]
    return attend(q, k, v, by_head(sk, HEADS), by_head(sv, HEADS), mask, classes)


def einsum(q: Tensor, k: Tensor, v: Tensor, sk: Tensor, sv: Tensor, classes: int) -> Tensor:
    """The same sums as Einstein sums over (class, row, head)."""
    q, k, v = (x.view(classes, -1, HEADS, WIDTH // HEADS) for x in (q, k, v))
    sk, sv = (x.view(SHARED, HEADS, -1) for x in (sk, sv))
    q = q * q.shape[-1] ** -0.5
    own = torch.einsum("nqhd,nkhd->nhqk", q, k) + causal(q.shape[1])
    weights = torch.cat([torch.einsum("nqhd,phd->nhqp", q, sk), own], -1).softmax(-1)
    read = torch.einsum("nhqp,phd->nqhd", weights[..., :SHARED], sv)
    return (read + torch.einsum("nhqk,nkhd->nqhd", weights[..., SHARED:], v)).flatten(2).flatten(0, 1)


def expanded(q: Tensor, k: Tensor, v: Tensor, sk: Tensor, sv: Tensor, classes: int) -> Tensor:
    """PyTorch's scaled dot product, with the shared keys copied to every class."""
    q, k, v = (x.view(classes, -1, HEADS, WIDTH // HEADS).transpose(1, 2) for x in (q, k, v))
    sk, sv = (x.view(1, SHARED, HEADS, -1).transpose(1, 2).expand(classes, -1, -1, -1) for x in (sk, sv))
    mask = torch.cat([torch.zeros(q.shape[2], SHARED), causal(q.shape[2])], dim=1)
    keys, values = torch.cat([sk, k], dim=2), torch.cat([sv, v], dim=2)
    read = functional.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
    return read.transpose(1, 2).flatten(2).flatten(0, 1)


def by_group(way: Way, lengths: list[int], tensors: list[Tensor]) -> Tensor:
    """Classes of one length at a time."""
    q, k, v, sk, sv = tensors
    done, read = 0, []
    for length in sorted(set(lengths)):
        classes = lengths.count(length)
        rows = slice(done, done + classes * length)
        read.append(way(q[rows], k[rows], v[rows], sk, sv, classes))
        done = rows.stop
    return torch.cat(read)


def main() -> None:
    """Measure, check that all results are equal, and write the record."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    torch.manual_seed(0)
    lengths = own_lengths(300, 4)
    tensors = [torch.randn(rows, WIDTH).requires_grad_() for rows in [sum(lengths)] * 3 + [SHARED] * 2]
    ways: dict[str, Way] = {"heads first": ours, "einsum": einsum, "keys copied, one fused call": expanded}
    runs = {name: partial(by_group, way, lengths) for name, way in ways.items()}
    longest = [max(lengths)] * len(lengths)
    padded = [torch.randn(rows, WIDTH).requires_grad_() for rows in [sum(longest)] * 3 + [SHARED] * 2]
    expected = runs["heads first"](tensors)
    rows: dict[str, Any] = {}
    for name, run in runs.items():
        torch.testing.assert_close(run(tensors), expected, atol=1e-5, rtol=1e-5)
        found = measure(partial(run, tensors), model=nn.Identity(), repeats=5)
        rows[name] = {"cpu_ms": 1000 * found.seconds, "kept_mb": found.kept_mb}
    found = measure(partial(by_group, ours, longest, padded), model=nn.Identity(), repeats=5)
    rows["heads first, all padded to the longest"] = {
        "cpu_ms": 1000 * found.seconds,
        "kept_mb": found.kept_mb,
    }
    for name, row in rows.items():
        print(f"| {name} | {row['cpu_ms']:.1f} ms | {row['kept_mb']:.1f} MB |")
    record = {"machine": machine(), "command": "python -m benchmarks.prompt_attention", "rows": rows}
    write_atomic(RECORD, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
