"""What must not show in the result: lengths of rows and PyTorch's global switches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from sar_reg import SimilarityAlignmentLoss, similarity_alignment_loss
from sar_reg.sampled_kl.products import full_precision
from tests.sampled_kl.cases import Case, features

PATHS = [
    {"sample_size": 16}, {"sample_size": 16, "sampling": "independent"}, {"sample_size": None},
    {"sample_size": 16, "impl": "reference"},
]  # fmt: skip


def value_and_gradient(x: torch.Tensor, target: torch.Tensor, **options: object) -> tuple[torch.Tensor, ...]:
    x = x.detach().requires_grad_()
    loss = similarity_alignment_loss(x, target, temperature=0.05, **options)
    return loss.detach(), torch.autograd.grad(loss, x)[0]


@pytest.mark.parametrize("options", PATHS, ids=str)
@pytest.mark.parametrize("length", [2.0**-80, 2.0**-100, 2.0**80, 2.0**100])
def test_rows_of_any_length(options: dict[str, object], length: float) -> None:
    """The loss does not depend on lengths, the gradient is inverse to them; powers of two make both exact."""
    learned, target = features(Case(300, 16, 24))
    expected, gradient = value_and_gradient(learned, target, **options)
    factor = torch.where(torch.arange(300) % 3 == 0, length, 1.0)[:, None]
    found, scaled = value_and_gradient(learned * factor, target * factor, **options)
    assert torch.equal(found, expected)
    torch.testing.assert_close(scaled * factor, gradient, rtol=1e-5, atol=1e-8)


@contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SWITCHES = {
    "medium": lambda: matmul_precision("medium"),
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "deterministic": deterministic,
    "meta": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.mark.parametrize("options", PATHS, ids=str)
@pytest.mark.parametrize("switch", SWITCHES)
def test_global_switches_do_not_reach_it(switch: str, options: dict[str, object]) -> None:
    learned, target = features(Case(300, 16, 256))
    expected = value_and_gradient(learned, target, **options)
    with SWITCHES[switch]():
        found = value_and_gradient(learned, target, **options)
        bank = SimpleNamespace(embeddings=target, temperature=0.05, classnames=tuple(map(str, range(300))))
        module = SimilarityAlignmentLoss(bank, **options)(learned)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert torch.equal(module, expected[0])


def test_products_are_full_float32_inside_and_the_setting_comes_back() -> None:
    """On a GPU "high" would be tf32, which is wrong by 0.01 in a logit at τ = 0.01."""
    with matmul_precision("medium"):
        with full_precision(torch.device("cpu")):
            if hasattr(torch.backends.mkldnn, "matmul"):
                assert torch.backends.cuda.matmul.fp32_precision == "ieee"
                assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
            else:  # PyTorch before 2.9
                assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
        torch._dynamo.reset()
        learned, target = features(Case(60, 16, 256))
        compiled = torch.compile(similarity_alignment_loss, backend="aot_eager", fullgraph=True)
        found = compiled(learned, target, temperature=0.05)
    assert torch.equal(found, similarity_alignment_loss(learned, target, temperature=0.05))


@pytest.mark.parametrize("options", PATHS, ids=str)
def test_tensors_made_in_inference_mode(options: dict[str, object]) -> None:
    learned, target = features(Case(300, 16, 24))
    expected = value_and_gradient(learned, target, **options)
    with torch.inference_mode():
        frozen, sets = (
            target.clone(),
            torch.arange(1, 301)[:, None] % 300 + torch.zeros(1, 2, dtype=torch.int64),
        )
    found = value_and_gradient(learned, frozen, **options)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    value_and_gradient(learned, frozen, indices=sets)
