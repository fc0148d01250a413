"""Features that are hard for the loss, the fp64 oracle, and the error that an implementation may have."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch

from sar_reg import SimilarityAlignmentLoss, sample_classes, similarity_alignment_loss
from sar_reg.sampled_kl.reference import row_kl


@dataclass(frozen=True)
class Case:
    """One combination of sizes, temperature, kind of features and dtype."""

    n: int
    k: int
    d: int
    tau: float = 0.01
    kind: str = "plain"
    dtype: torch.dtype = torch.float32
    direction: str = "target||learned"
    sampling: str = "ring"

    def __str__(self) -> str:
        reverse = "-reverse" if self.direction == "learned||target" else ""
        sizes = f"n{self.n}-k{self.k}-d{self.d}-tau{self.tau}"
        return f"{sizes}-{self.kind}-{str(self.dtype)[6:]}{reverse}-{self.sampling}"


def features(case: Case, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Learned and target features like CLIP's: a common direction, rows of different length."""
    draw = np.random.RandomState(seed)
    common, base, noise = draw.randn(case.d), draw.randn(case.n, case.d), draw.randn(case.n, case.d)
    target = np.exp(0.3 * draw.randn(case.n, 1)) * (1.5 * common + base)
    learned = np.exp(0.3 * draw.randn(case.n, 1)) * (1.5 * common + base + 0.5 * noise)
    if case.kind == "near":
        learned = target * (1 + 1e-4 * noise)
    if case.kind == "duplicates":
        learned[1::2], target[1::2] = learned[: case.n // 2], target[: case.n // 2]
    if case.kind == "zero":
        learned[case.n // 2] = 0
    x, t = torch.tensor(learned).to(case.dtype), torch.tensor(target).to(case.dtype)
    if case.kind == "strided":
        x = x.T.contiguous().T
        t = torch.stack([t, t], dim=2)[:, :, 1]
    return x, t


def indices_of(case: Case, seed: int, step: int) -> torch.Tensor:
    return sample_classes(case.n, case.k, seed=seed, step=step, sampling=case.sampling)


def oracle(
    case: Case, learned: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, dtype=torch.float64
):
    """KL per class and gradient of the weighted sum by the plain formula on the same values."""
    x = learned.detach().to(dtype).requires_grad_()
    sets = indices_of(case, 3, 5).to(x.device)
    rows = row_kl(x, target.to(dtype), sets, case.tau, case.direction == "learned||target")
    (grad,) = torch.autograd.grad((rows * weight.to(dtype)).sum(), x)
    return rows.detach().double(), grad.double()


def run(
    case: Case,
    learned: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    impl: str,
    kept: bool = False,
):
    """The same from the public function or, if the target's Gram matrix is to be kept, from the module."""
    x = learned.detach().requires_grad_()
    options = {"reduction": "none", "sampling": case.sampling, "direction": case.direction, "impl": impl}
    if kept:
        names = tuple(map(str, range(case.n)))
        bank = SimpleNamespace(embeddings=target, temperature=case.tau, classnames=names)
        sar = SimilarityAlignmentLoss(bank, case.k, 3, **options)
        assert sar.gram is not None
        rows = sar(x, step=5)
    else:
        rows = similarity_alignment_loss(
            x, target, temperature=case.tau, sample_size=case.k, seed=3, step=5, **options
        )
    (grad,) = torch.autograd.grad((rows * weight).sum(), x)
    assert rows.dtype == (torch.float64 if case.dtype == torch.float64 else torch.float32)
    assert grad.dtype == case.dtype
    return rows.detach().double(), grad.double()


def assert_within_budget(case: Case, impl: str, kept: bool = False) -> None:
    """One implementation on the CPU."""
    assert_all_within_budget(case, [(impl, kept)])


def assert_all_within_budget(
    case: Case, implementations: list[tuple[str, bool]], device: str = "cpu"
) -> None:
    """The error against fp64 is at most twice that of the plain fp32 formula, plus the rounding of the output.

    The floor is one rounding of a logit (fp32, magnitude 1 / τ) where the plain formula happens to be exact. Half
    precision rounds relative to the value, and below its smallest normal number by half a fixed step.
    """
    learned, target = (x.to(device) for x in features(case))
    weight = torch.linspace(-1, 1, case.n, device=device)
    exact_rows, exact_grad = oracle(case, learned, target, weight)
    plain_rows, plain_grad = oracle(case, learned, target, weight, torch.float32)
    logit_rounding = torch.finfo(torch.float32).eps / case.tau
    row_floor = 2 * logit_rounding * (1 + _worst(exact_rows))
    grad_floor = 2 * logit_rounding * _worst(exact_grad) + logit_rounding / case.tau / _shortest(learned)
    dtype = torch.finfo(case.dtype)
    output = dtype.eps * max(_worst(exact_grad), dtype.smallest_normal / 2) if case.dtype in _HALF else 0.0
    for impl, kept in implementations:
        rows, grad = run(case, learned, target, weight, impl, kept)
        assert _worst(rows - exact_rows) <= 2 * _worst(plain_rows - exact_rows) + row_floor
        assert _worst(grad - exact_grad) <= 2 * _worst(plain_grad - exact_grad) + grad_floor + output


_HALF = (torch.float16, torch.bfloat16)


def _worst(x: torch.Tensor) -> float:
    assert torch.isfinite(x).all()
    return x.abs().max().item()


def _shortest(x: torch.Tensor) -> float:
    length = x.double().norm(dim=1)
    return length[length > 0].min().item()
