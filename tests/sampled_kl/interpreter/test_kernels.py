"""The Triton kernels in Triton's interpreter, against the fp64 oracle."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sar_reg import similarity_alignment_loss
from tests.sampled_kl.cases import Case, assert_within_budget, features, indices_of, oracle, run

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
REVERSE = "learned||target"
# With one other class the loss is 0, of which the function warns; the kernels must still be right.
pytestmark = pytest.mark.filterwarnings("ignore:each class is compared with one other class")
SIZES = [(2, 1, 8), (2, 64, 16), (3, 1, 9), (5, 4, 8), (16, 15, 16), (17, 16, 33), (33, 1, 24), (65, 40, 20)]
CASES = [
    *(Case(n, k, d, tau) for (n, k, d), tau in itertools.product(SIZES, (0.01, 0.07))),
    *(Case(n, k, d, dtype=dtype) for (n, k, d), dtype in itertools.product(SIZES, (BF16, FP16))),
    *(Case(n, k, d, direction=REVERSE) for n, k, d in SIZES),
    *(
        Case(24, 10, 17, tau, kind)
        for tau, kind in itertools.product((0.01, 0.07), ("near", "duplicates", "zero", "strided"))
    ),
    *(
        Case(21, 30, 19, 0.01, kind, dtype)
        for kind, dtype in itertools.product(("near", "zero", "strided"), (BF16, FP16))
    ),
    Case(40, 16, 768),
    Case(40, 16, 768, dtype=BF16),
    Case(50, 48, 512, 0.07),
    Case(96, 64, 128, direction=REVERSE),
    Case(130, 129, 12),
    Case(250, 64, 48),
    Case(400, 3, 8),  # the ring is ranked in two blocks
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_error_is_within_budget(case: Case) -> None:
    assert_within_budget(case, "triton")


@pytest.mark.parametrize("case", [case for case in CASES if case.n in (24, 21, 17)], ids=str)
def test_with_the_target_kept(case: Case) -> None:
    assert_within_budget(case, "triton", kept=True)


def test_there_are_enough_cases() -> None:
    assert len(set(CASES)) >= 60


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 40), k=st.integers(1, 45), d=st.integers(1, 40), tau=st.sampled_from([0.01, 0.05, 1.0]),
    kind=st.sampled_from(["plain", "near", "duplicates", "zero", "strided"]),
    dtype=st.sampled_from([FP32, BF16, FP16]), direction=st.sampled_from([REVERSE, "target||learned"]),
)  # fmt: skip
@example(n=15, k=14, d=1, tau=1.0, kind="plain", dtype=FP32, direction=REVERSE)  # the plain formula is exact
@example(n=34, k=21, d=1, tau=1.0, kind="plain", dtype=FP16, direction="target||learned")
@example(n=38, k=33, d=1, tau=0.01, kind="strided", dtype=BF16, direction=REVERSE)
def test_any_sizes(n: int, k: int, d: int, tau: float, kind: str, dtype: torch.dtype, direction: str) -> None:
    assert_within_budget(Case(n, k, d, tau, kind, dtype, direction), "triton")


@pytest.mark.usefixtures("float64_products")
@pytest.mark.parametrize(
    ("n", "k", "d", "direction"), [(5, 3, 4, "target||learned"), (4, 3, 3, REVERSE), (19, 7, 3, REVERSE)]
)
def test_gradcheck(n: int, k: int, d: int, direction: str) -> None:
    learned, target = features(Case(n, k, d, dtype=torch.float64))

    def loss(x: torch.Tensor) -> torch.Tensor:
        return similarity_alignment_loss(
            x, target, temperature=0.2, sample_size=k, reduction="none", direction=direction, impl="triton"
        )

    assert torch.autograd.gradcheck(loss, learned.requires_grad_(), fast_mode=n > 5)


@pytest.mark.usefixtures("float64_products")
def test_a_band_wider_than_one_chunk() -> None:
    """Running softmax over several chunks: K + ROWS - 1 is well above the kernels' 64 columns."""
    case = Case(130, 120, 16, dtype=torch.float64)
    learned, target = features(case)
    weight = torch.linspace(-1, 1, case.n, dtype=torch.float64)
    rows, grad = run(case, learned, target, weight, "triton")
    exact_rows, exact_grad = oracle(case, learned, target, weight)
    torch.testing.assert_close(rows, exact_rows, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(grad, exact_grad, rtol=1e-9, atol=1e-10)


def test_two_runs_are_bit_equal_and_equal_sets_are_drawn() -> None:
    case = Case(50, 7, 24)
    learned, target = features(case)
    weight = torch.randn(50, generator=torch.Generator().manual_seed(0))
    first, second = (run(case, learned, target, weight, "triton") for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    # Rows of another draw would differ by far more than rounding.
    rows, _ = oracle(case, learned, target, weight)
    torch.testing.assert_close(first[0], rows, rtol=1e-4, atol=1e-4)
    assert not torch.equal(indices_of(case, 3, 5), indices_of(case, 3, 6))


def test_nan_in_gives_nan_out_in_the_rows_it_touches() -> None:
    case = Case(24, 3, 8)
    learned, target = features(case)
    learned[4, 2] = float("nan")
    rows = similarity_alignment_loss(
        learned, target, temperature=0.01, sample_size=3, seed=3, step=5, reduction="none", impl="triton"
    )
    touched = (indices_of(case, 3, 5) == 4).any(dim=1)
    touched[4] = True
    assert torch.equal(rows.isnan(), touched)


def test_nothing_is_read_before_it_is_written() -> None:
    """Uninitialised memory filled with NaN must not show in any output."""
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.utils.deterministic.fill_uninitialized_memory
        for case in (Case(17, 16, 33), Case(40, 5, 70), Case(90, 80, 8)):
            assert_within_budget(case, "triton")
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_registered_operator_passes_opcheck() -> None:
    learned, target = features(Case(12, 4, 6))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    arguments = (learned.requires_grad_(), target, None, order, 4, 0.05, True, False, "triton")
    torch.library.opcheck(torch.ops.sar_reg.sampled_kl.default, arguments)


def test_mixed_dtypes_keep_the_bank_in_float32() -> None:
    learned, target = features(Case(20, 5, 16, dtype=BF16))
    precise = target.float() * 1.001
    weight = torch.ones(20)
    rows, _ = run(Case(20, 5, 16, dtype=BF16), learned, precise, weight, "triton")
    exact, _ = oracle(Case(20, 5, 16), learned, precise, weight)
    torch.testing.assert_close(rows, exact, rtol=1e-4, atol=5e-5)
