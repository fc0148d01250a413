"""The loss on a GPU: right against float64, well-behaved, and how fast."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.gpu.bench import Bench
from benchmarks.sampled_kl import gather_kl, kept_matmul_kl, matmul_kl
from sar_reg import sample_classes, similarity_alignment_loss
from sar_reg.sampled_kl.reference import row_kl
from sar_reg.sampled_kl.validation import Direction, Sampling

KINDS = ("plain", "near", "duplicates", "zero row")
DIRECTIONS: tuple[Direction, ...] = ("target||learned", "learned||target")
SAMPLINGS: tuple[Sampling, ...] = ("ring", "independent")


def features(
    n: int, width: int, kind: str, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Learned and frozen rows with a common direction, as CLIP's text features have."""
    generator = torch.Generator().manual_seed(n + width)
    target = torch.randn(n, width, generator=generator) + 1.5 * torch.randn(width, generator=generator)
    learned = target + (1e-3 if kind == "near" else 0.5) * torch.randn(n, width, generator=generator)
    if kind == "duplicates":
        learned[1::2] = learned[0]
    if kind == "zero row":
        learned[0] = 0.0
    return learned.to(device, dtype), target.to(device)


def errors(bench: Bench, n: int, k: int, width: int, dtype: torch.dtype, tau: float, kind: str, sampling: Sampling,
           direction: Direction) -> tuple[float, float]:  # fmt: skip
    """Errors of rows and gradient over what is allowed: twice the plain float32 formula's, and rounding."""
    learned, target = features(n, width, kind, dtype, bench.device)
    weight = torch.linspace(-1, 1, n, device=bench.device)
    sets = sample_classes(n, k, seed=3, step=5, sampling=sampling).to(bench.device)
    reverse = direction == DIRECTIONS[1]

    def by_formula(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        x = learned.to(dtype).requires_grad_()
        rows = row_kl(x, target.to(dtype), sets, tau, reverse)
        return rows.detach().double(), torch.autograd.grad((rows * weight.to(dtype)).sum(), x)[0].double()

    x = learned.clone().requires_grad_()
    rows = similarity_alignment_loss(
        x, target, temperature=tau, sample_size=k, seed=3, step=5, sampling=sampling, reduction="none",
        direction=direction,
    )  # fmt: skip
    (gradient,) = torch.autograd.grad((rows * weight).sum(), x)
    if not (rows.isfinite().all() and gradient.isfinite().all()):
        return float("nan"), float("nan")
    (exact, pull), (usual, usual_pull) = by_formula(torch.float64), by_formula(torch.float32)
    eps, info = torch.finfo(torch.float32).eps / tau, torch.finfo(dtype)
    lengths = learned.double().norm(dim=1)
    shortest = lengths[lengths > 0].min().item()
    allowed = 2 * _worst(usual - exact) + 4 * eps * (1 + _worst(exact))
    allowed_pull = 2 * _worst(usual_pull - pull) + 4 * eps * _worst(pull) + 2 * eps / tau / shortest
    if dtype != torch.float32:
        allowed_pull += info.eps * max(_worst(pull), info.smallest_normal / 2)
    return _worst(rows.double() - exact) / allowed, _worst(gradient.double() - pull) / allowed_pull


def _worst(x: Tensor) -> float:
    return x.abs().max().item()


def correctness(bench: Bench) -> dict[str, Any]:
    """Every size, type, temperature, kind of features, way of sampling and direction against float64."""
    sizes = [(3, 2, 8), (17, 16, 33)] if bench.dry else [
        (3, 2, 8), (17, 16, 33), (65, 64, 100), (300, 64, 512), (1200, 64, 768), (1200, 300, 96), (129, 128, 1024)
    ]  # fmt: skip
    types = (torch.float32, torch.float16, torch.bfloat16)
    failed: list[Any] = []
    worst: dict[str, tuple[float, float]] = {}
    cases = list(itertools.product(sizes, types, (0.01, 0.07), KINDS, SAMPLINGS, DIRECTIONS))
    for (n, k, width), dtype, tau, kind, sampling, direction in cases:
        found = errors(bench, n, k, width, dtype, tau, kind, sampling, direction)
        name = f"N={n} K={k} D={width} {str(dtype)[6:]} {sampling}"
        worst[name] = max(worst.get(name, (0.0, 0.0)), found)
        if not max(found) <= 1 or found != found:
            failed.append([name, tau, kind, direction, *found])
    return {"checks": len(cases), "failed": failed[:20], "worst error over what is allowed": worst}


def properties(bench: Bench) -> dict[str, Any]:
    """Equal repeats, the CPU's draw, no synchronisation, streams, autocast, compile, many rows."""
    size = 60 if bench.dry else 700
    learned, target = features(size, 64 if bench.dry else 512, "plain", torch.float16, bench.device)
    learned.requires_grad_()
    step = torch.tensor(12345, device=bench.device)

    def gradient(sampling: Sampling = "ring") -> Tensor:
        loss = similarity_alignment_loss(
            learned, target, temperature=0.01, sample_size=16, step=step, sampling=sampling
        )
        return torch.autograd.grad(loss, learned)[0]

    def same(sampling: Sampling) -> bool:
        return torch.equal(gradient(sampling), gradient(sampling))

    def draw(n: int, sampling: Sampling) -> bool:
        on_device = sample_classes(n, 64, seed=5, step=step, sampling=sampling).cpu()
        return torch.equal(on_device, sample_classes(n, 64, seed=5, step=12345, sampling=sampling))

    found: dict[str, bool] = {f"equal repeats, {sampling}": same(sampling) for sampling in SAMPLINGS}
    for sampling in SAMPLINGS:
        found[f"the CPU's draw, {sampling}"] = all(draw(n, sampling) for n in (65, 300, 701))
    before = gradient()
    with torch.autocast(bench.device.type, dtype=torch.bfloat16):
        found["autocast changes nothing"] = torch.equal(gradient(), before)
    if not bench.dry:
        found |= _on_a_gpu(gradient, learned, target, step)
    failed = [name for name, holds in found.items() if not holds]
    return {"checks": len(found), "failed": failed, "found": found}


def _on_a_gpu(
    gradient: Callable[[], Tensor], learned: Tensor, target: Tensor, step: Tensor
) -> dict[str, bool]:
    found: dict[str, bool] = {}
    torch.cuda.synchronize()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.cuda.set_sync_debug_mode("error")
            gradient()
            found["no synchronisation"] = True
        except RuntimeError:
            found["no synchronisation"] = False
        finally:
            torch.cuda.set_sync_debug_mode("default")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        other = gradient()
    side.synchronize()
    found["equal on a side stream"] = torch.equal(other, gradient())

    def loss(x: Tensor, step: Tensor) -> Tensor:
        return similarity_alignment_loss(x, target, temperature=0.01, sample_size=64, step=step)

    compiled = torch.compile(loss, fullgraph=True)
    found["compiled equals eager"] = bool((compiled(learned, step) - loss(learned, step)).abs() < 1e-5)
    many, fixed = (torch.randn(100_000, 512, device=step.device) + 1 for _ in range(2))
    rows = [
        similarity_alignment_loss(many, fixed, temperature=0.01, sample_size=64, reduction="none", impl=impl)
        for impl in ("triton", "torch")
    ]
    found["100,000 rows: kernel equals PyTorch"] = bool((rows[0] - rows[1]).abs().max() < 1e-3)
    return found


def timing(bench: Bench) -> dict[str, Any]:
    """Forward and backward: ours, and four ways by hand, two of them compiled."""
    rows: dict[str, Any] = {}
    compiled = {} if bench.dry else {f: torch.compile(f, dynamic=True) for f in (gather_kl, matmul_kl)}
    for n in (70,) if bench.dry else (250, 300, 700, 1200, 5000, 21_000, 100_000):
        width, dtype = (32, torch.float32) if bench.dry else (512, torch.float16)
        x = (torch.randn(n, width, device=bench.device) + 1).to(dtype).requires_grad_()
        target = F.normalize(torch.randn(n, width, device=bench.device) + 1, dim=-1)
        step = torch.zeros((), dtype=torch.int64, device=bench.device)
        work = {sampling: partial(_ours, sampling, x, target, step) for sampling in SAMPLINGS}
        if n <= 21_000:
            ways = {"gather": gather_kl, "matmul": matmul_kl, "matmul, target kept": kept_matmul_kl()}
            if n in (300, 700, 5000):
                ways |= {f"{f.__name__}, compiled": c for f, c in compiled.items()}
            work |= {name: partial(_by_hand, kl, x, target) for name, kl in ways.items()}
        for name, run in work.items():
            rows[f"loss, {name}, N={n}"] = _or_out_of_memory(bench, run)
    return rows


def _ours(sampling: Sampling, x: Tensor, target: Tensor, step: Tensor) -> None:
    loss = similarity_alignment_loss(
        x, target, temperature=0.01, sample_size=64, step=step, sampling=sampling
    )
    torch.autograd.grad(loss, x)
    step.add_(1)


def _by_hand(kl: Callable[..., Tensor], x: Tensor, target: Tensor) -> None:
    n = len(x)
    drawn = torch.rand(n, n, device=x.device).fill_diagonal_(-1.0)
    torch.autograd.grad(kl(x.float(), target, drawn.topk(min(64, n - 1)).indices), x)


def _or_out_of_memory(bench: Bench, run: Callable[[], Any]) -> Any:
    try:
        return bench.timed(run, 0.25)
    except torch.OutOfMemoryError:
        return "out of memory"
