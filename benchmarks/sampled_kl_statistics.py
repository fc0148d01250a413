"""Two studies of the loss on CLIP-like synthetic features: rounding, and the
noise of the sampling.

    python benchmarks/sampled_kl_statistics.py [--draws 150] [--out FOLDER]

Rounding: errors against fp64 of the usual half-precision code and of ours, on
the same features. Noise: variance over draws of loss and
gradient, ring against independent rows, relative to independent rows. Writes
sampled_kl_statistics.json and .md. Synthetic features: a common direction and
two levels of clusters.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from sar_reg import sample_classes, similarity_alignment_loss
from sar_reg.files import write_atomic
from sar_reg.sampled_kl.reference import row_kl
from sar_reg.sampled_kl.validation import Sampling

N, D, K, TAU = 700, 512, 64, 0.01


def features(n: int, spread: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Learned and target rows: common direction, 12 coarse and 60 fine clusters, individual part; norms like CLIP's."""
    draw = torch.Generator().manual_seed(seed)
    parts = torch.randn(12, D, generator=draw)[torch.randint(12, (n,), generator=draw)]
    parts = parts + torch.randn(60, D, generator=draw)[torch.randint(60, (n,), generator=draw)]
    own = parts + torch.randn(n, D, generator=draw)
    target = torch.randn(D, generator=draw) * 1.8 + spread * own
    learned = target + 0.3 * spread * torch.randn(n, D, generator=draw)
    length = 8 + torch.rand(n, 1, generator=draw)
    return functional.normalize(learned) * length, functional.normalize(target)


def in_half_precision(learned: torch.Tensor, target: torch.Tensor, sets: torch.Tensor) -> torch.Tensor:
    """As prompt-learning code does under `.half()` or autocast: normalise and multiply in the features' dtype."""
    u, t = learned / learned.norm(dim=-1, keepdim=True), target / target.norm(dim=-1, keepdim=True)
    log_q = (u @ u.T).float().gather(1, sets).div(TAU).log_softmax(-1)
    log_p = (t @ t.T).float().gather(1, sets).div(TAU).log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()


def rounding() -> list[dict[str, Any]]:
    """Relative errors of loss and gradient (Frobenius) against fp64 of the same stored features."""
    sets = sample_classes(N, K, seed=0, step=0)
    rows: list[dict[str, Any]] = []
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        learned, target = (x.to(dtype) for x in features(N, 0.5, seed=1))
        exact = learned.double().requires_grad_()
        exact_loss = row_kl(exact, target.double(), sets, TAU, reverse=False).mean()
        (exact_grad,) = torch.autograd.grad(exact_loss, exact)
        for name in ("normalised and multiplied in this dtype", "sar_reg"):
            x = learned.clone().requires_grad_()
            if name == "sar_reg":
                loss = similarity_alignment_loss(x, target, temperature=TAU, sample_size=K)
            else:
                loss = in_half_precision(x, target, sets)
            (grad,) = torch.autograd.grad(loss, x)
            grad_error = (grad.double() - exact_grad).norm() / exact_grad.norm()
            rounded = (exact_grad.to(dtype).double() - exact_grad).norm() / exact_grad.norm()
            rows.append({
                "features": str(dtype)[6:], "computed": name, "loss_error": abs(loss.item() / exact_loss.item() - 1),
                "gradient_error": grad_error.item(), "output_rounding": rounded.item(),
            })  # fmt: skip
    return rows


def noise(draws: int) -> list[dict[str, Any]]:
    """Variance over draws, ring divided by independent rows: loss, whole gradient, gradient summed over classes."""
    rows: list[dict[str, Any]] = []
    for n in (250, 700):
        for kind, spread in (("wide", 0.7), ("tight", 0.35)):
            learned, target = features(n, spread, seed=n)
            learned.requires_grad_()
            statistics = {s: over_draws(learned, target, draws, s) for s in ("ring", "independent")}
            ratio = {
                key: statistics["ring"][key] / statistics["independent"][key] for key in statistics["ring"]
            }
            rows.append({"n": n, "features": kind, "draws": draws} | ratio)
    return rows


def over_draws(
    learned: torch.Tensor, target: torch.Tensor, draws: int, sampling: Sampling
) -> dict[str, float]:
    losses, totals = torch.zeros(draws), torch.zeros(draws, D)
    mean, square = torch.zeros_like(learned), 0.0
    for step in range(draws):
        loss = similarity_alignment_loss(
            learned, target, temperature=TAU, sample_size=K, step=step, sampling=sampling
        )
        (grad,) = torch.autograd.grad(loss, learned)
        losses[step], totals[step] = loss.detach(), grad.sum(0)
        mean += grad / draws
        square += grad.square().sum().item() / draws
    return {
        "loss": losses.var().item(),
        "gradient": square - mean.square().sum().item(),
        "summed_gradient": totals.var(dim=0).sum().item(),
    }


def as_markdown(record: dict[str, list[dict[str, Any]]]) -> str:
    lines = [
        f"Synthetic features, N = {N} (rounding), D = {D}, K = {K}, τ = {TAU}; PyTorch {torch.__version__}."
    ]
    for name, rows in record.items():
        head = list(rows[0])
        lines += ["", f"**{name.capitalize()}**", "", "| " + " | ".join(head).replace("_", " ") + " |"]
        lines.append("|" + "---|" * len(head))
        for row in rows:
            cells = [f"{value:.2g}" if isinstance(value, float) else str(value) for value in row.values()]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run both studies and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=150)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record = {"rounding": rounding(), "noise": noise(arguments.draws)}
    write_atomic(arguments.out / "sampled_kl_statistics.json", json.dumps(record, indent=1) + "\n")
    write_atomic(arguments.out / "sampled_kl_statistics.md", as_markdown(record))


if __name__ == "__main__":
    main()
