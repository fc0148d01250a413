"""Time and peak memory of the sampled loss on the CPU, forward and backward,
compared with code that one would write by hand.

    python -m benchmarks.sampled_kl [--sizes 250,700] [--out FOLDER]

Every path is first checked against fp64. Then it is timed in a process of its
own (one thread; process time and wall time), as often as every other path of
that size. The table shows the median with the 20th and 80th percentiles. Peak
memory is the growth of the resident set over the inputs, after compilation for
compiled paths. Each path draws its own classes.
Writes sampled_kl.json and sampled_kl.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.measuring import machine, peak_growth
from sar_reg import sample_classes, similarity_alignment_loss
from sar_reg.files import write_atomic
from sar_reg.sampled_kl.reference import row_kl

TAU, K, D = 0.01, 64, 512
SIZES = (250, 500, 700, 1200, 5000, 21000, 100000)
RUNS = {5000: 5, 21000: 3, 100000: 3}
"""Timed runs of every path; 25 at the smaller sizes."""
LARGEST = 21000
"""For all but the ring: at 100,000 the gather's N x K x D tensors take 26 GB, an N x N matrix 40 GB."""


def random_sets(n: int) -> torch.Tensor:
    """K random other classes per class, drawn in the usual way: the largest of N random numbers."""
    return torch.rand(n, n).fill_diagonal_(-1.0).topk(min(K, n - 1)).indices


def gather_kl(learned: torch.Tensor, target: torch.Tensor, sets: torch.Tensor) -> torch.Tensor:
    """The equations as written: gather the K rows of every class, multiply, softmax, KL."""
    u, t = F.normalize(learned, dim=-1), F.normalize(target, dim=-1)
    log_q = ((u[:, None] * u[sets]).sum(-1) / TAU).log_softmax(-1)
    log_p = ((t[:, None] * t[sets]).sum(-1) / TAU).log_softmax(-1)
    return F.kl_div(log_q, log_p, log_target=True, reduction="batchmean")


def matmul_kl(learned: torch.Tensor, target: torch.Tensor, sets: torch.Tensor) -> torch.Tensor:
    """All N x N similarities, from which the sampled ones are selected."""
    u, t = F.normalize(learned, dim=-1), F.normalize(target, dim=-1)
    log_q = ((u @ u.T).gather(1, sets) / TAU).log_softmax(-1)
    log_p = ((t @ t.T).gather(1, sets) / TAU).log_softmax(-1)
    return F.kl_div(log_q, log_p, log_target=True, reduction="batchmean")


def kept_matmul_kl() -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
    """The fastest of these: the target's N x N matrix is computed once and kept."""
    kept: dict[int, torch.Tensor] = {}

    def kl(learned: torch.Tensor, target: torch.Tensor, sets: torch.Tensor) -> torch.Tensor:
        n = len(target)
        if n not in kept:
            t = F.normalize(target, dim=-1)
            kept[n] = (t @ t.T) / TAU
        u = F.normalize(learned, dim=-1)
        log_q = ((u @ u.T).gather(1, sets) / TAU).log_softmax(-1)
        log_p = kept[n].gather(1, sets).log_softmax(-1)
        return F.kl_div(log_q, log_p, log_target=True, reduction="batchmean")

    return kl


def loss_of(path: str) -> Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]:
    """The loss of one path as a function of features and step."""
    if path in ("ring", "independent"):
        return lambda learned, target, step: similarity_alignment_loss(
            learned, target, temperature=TAU, sample_size=K, step=step, sampling=path, impl="torch"
        )
    if path == KEPT:
        kept = kept_matmul_kl()
        return lambda learned, target, step: kept(
            learned, target, sample_classes(len(learned), K, seed=0, step=step)
        )
    by_hand = gather_kl if path.startswith("gather") else matmul_kl
    if path.endswith("compiled"):
        by_hand = torch.compile(by_hand)
    return lambda learned, target, step: by_hand(learned, target, random_sets(learned.shape[0]))


KEPT = "matmul, target kept"
"""Also uses the ring's draw, which needs N random numbers instead of N x N."""
PATHS = ("gather", "gather, compiled", "matmul", "matmul, compiled", KEPT, "independent", "ring")


def features(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows with a common direction, as CLIP's text features have."""
    generator = torch.Generator().manual_seed(n)
    target = torch.randn(n, D, generator=generator).add_(1.5 * torch.randn(D, generator=generator))
    learned = torch.randn(n, D, generator=generator).mul_(0.5).add_(target)
    return learned.requires_grad_(), target


def gate() -> dict[str, float]:
    """Relative errors of loss and gradient against fp64 on the same sets, N = 250; raises above 2e-5."""
    learned, target = features(250)
    errors: dict[str, float] = {}
    for path in PATHS:
        if path in ("ring", "independent", KEPT):
            sampling = "independent" if path == "independent" else "ring"
            sets = sample_classes(250, K, seed=0, step=0, sampling=sampling)
            loss = loss_of(path)(learned, target, 0)
        else:
            sets = random_sets(250)
            by_hand = gather_kl if path.startswith("gather") else matmul_kl
            loss = (torch.compile(by_hand) if path.endswith("compiled") else by_hand)(learned, target, sets)
        (grad,) = torch.autograd.grad(loss, learned)
        exact = learned.detach().double().requires_grad_()
        exact_loss = row_kl(exact, target.double(), sets, TAU, reverse=False).mean()
        (exact_grad,) = torch.autograd.grad(exact_loss, exact)
        errors[path] = max(
            abs(loss.item() / exact_loss.item() - 1),
            ((grad - exact_grad).abs().max() / exact_grad.abs().max()).item(),
        )
        if not errors[path] < 2e-5:
            raise SystemExit(f"{path} has an error of {errors[path]:.1e}; nothing was timed")
    return errors


def measure(path: str, n: int) -> dict[str, Any]:
    """Time and memory of one path in this process."""
    learned, target = features(n)
    loss = loss_of(path)

    def once(step: int) -> None:
        learned.grad = None
        loss(learned, target, step).backward()

    # The first use loads libraries and the compiler, which are not memory of the loss.
    warm, warm_target = features(200)
    loss(warm, warm_target, 0).backward()
    if path.endswith("compiled"):
        once(0)
    with peak_growth() as growth:
        once(0)
    cpu: list[float] = []
    wall: list[float] = []
    for number in range(1, 1 + RUNS.get(n, 25)):
        start = time.process_time(), time.perf_counter()
        once(number)
        cpu.append(1e3 * (time.process_time() - start[0]))
        wall.append(1e3 * (time.perf_counter() - start[1]))
    row: dict[str, Any] = {"path": path, "n": n, "runs": len(cpu), "peak_mb": growth[0]}
    for kind, times in (("cpu", cpu), ("wall", wall)):
        tenths = statistics.quantiles(times, n=10, method="inclusive")
        row |= {f"{kind}_ms_p{10 * tenth}": tenths[tenth - 1] for tenth in (2, 5, 8)}
    return row


def as_markdown(record: dict[str, Any]) -> str:
    """Two tables: time and memory, by N."""
    rows = {(row["path"], row["n"]): row for row in record["rows"]}
    sizes = sorted({row["n"] for row in record["rows"]})
    lines = [
        f"`{record['command']}`: {record['cpu']}, one thread, PyTorch {record['torch']}, {record['date']}; "
        f"D = {D}, K = {K}, fp32, "
        "forward + backward, new classes in every call. Only ratios within one run mean anything.",
    ]
    for title, key, form in (
        ("CPU time of the process, median, ms", "cpu_ms_p50", "{:.1f}"),
        ("CPU time against the ring's", "cpu_ms_p50", ""),
        ("CPU time of the process, 20th percentile, ms", "cpu_ms_p20", "{:.1f}"),
        ("CPU time of the process, 80th percentile, ms", "cpu_ms_p80", "{:.1f}"),
        ("Wall time, median, ms", "wall_ms_p50", "{:.1f}"),
        ("Peak memory beyond the inputs, MB", "peak_mb", "{:.0f}"),
        ("Peak memory against the ring's", "peak_mb", ""),
    ):
        if not any(key in row for row in record["rows"]):  # records before the percentiles
            continue
        lines += ["", f"**{title}**", "", "| path | " + " | ".join(f"N = {n:,}" for n in sizes) + " |"]
        lines.append("|" + "---|" * (len(sizes) + 1))
        for path in PATHS:
            values = [rows.get((path, n), {}).get(key) for n in sizes]
            ours = [rows["ring", n][key] for n in sizes]
            cells = [
                "-"
                if value is None
                else form.format(value)
                if form
                else f"{value / own:.1f}×"
                if own
                else "-"
                for value, own in zip(values, ours, strict=True)
            ]
            lines.append(f"| {path} | " + " | ".join(cells) + " |")
    gate_line = ", ".join(f"{path} {error:.0e}" for path, error in record["gate"].items())
    return (
        "\n".join([*lines, "", f"Largest relative error of loss and gradient at the gate: {gate_line}."])
        + "\n"
    )


def main() -> None:
    """Check all paths, then run one process per path and size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one:
        path, n = arguments.one.rsplit(":", 1)
        print(json.dumps(measure(path, int(n))))
        return
    record: dict[str, Any] = {
        "command": "python -m benchmarks.sampled_kl", "cpu": machine()["processor"],
        "torch": torch.__version__, "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"), "width": D, "sample_size": K, "gate": gate(), "rows": [],
    }  # fmt: skip
    for n in map(int, arguments.sizes.split(",")):
        for path in PATHS:
            if n > LARGEST and path != "ring":
                continue
            command = [sys.executable, "-m", "benchmarks.sampled_kl", "--one", f"{path}:{n}"]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            record["rows"].append(json.loads(result.stdout))
            print(
                {k: round(v, 2) if isinstance(v, float) else v for k, v in record["rows"][-1].items()},
                flush=True,
            )
    write_atomic(arguments.out / "sampled_kl.json", json.dumps(record, indent=1) + "\n")
    write_atomic(arguments.out / "sampled_kl.md", as_markdown(record))


if __name__ == "__main__":
    main()
