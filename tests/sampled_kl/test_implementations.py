"""Every path of `impl="torch"` and the reference against the fp64 oracle."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from sar_reg import sample_classes, similarity_alignment_loss
from sar_reg.sampled_kl import reference, torch_dense, torch_ring
from sar_reg.sampled_kl.sampling import ring_neighbours
from tests.sampled_kl.cases import Case, assert_within_budget, features, oracle, run

REVERSE = "learned||target"
BF16, FP16, FP32, FP64 = torch.bfloat16, torch.float16, torch.float32, torch.float64
KINDS = ("plain", "near", "duplicates", "zero", "strided")
# Of which the function warns: the loss is then 0.
pytestmark = pytest.mark.filterwarnings("ignore:each class is compared with one other class")


def test_two_classes_by_hand() -> None:
    """Three classes, one angle of 60 degrees changed: cosines (0, 0) against (1/2, 0)."""
    target = torch.eye(3, dtype=FP64)
    learned = torch.tensor([[1.0, 0, 0], [0.5, 0.75**0.5, 0], [0, 0, 1.0]], dtype=FP64)
    log_q = torch.tensor([0.5 / 0.25, 0.0], dtype=FP64).log_softmax(0)
    p = torch.tensor([0.5, 0.5], dtype=FP64)
    expected = (p * (p.log() - log_q)).sum()
    rows = similarity_alignment_loss(learned, target, temperature=0.25, reduction="none")
    torch.testing.assert_close(rows, torch.stack([expected, expected, torch.zeros((), dtype=FP64)]))
    reverse = similarity_alignment_loss(
        learned, target, temperature=0.25, reduction="none", direction=REVERSE
    )
    torch.testing.assert_close(reverse[0], (log_q.exp() * (log_q - p.log())).sum())


def test_reductions() -> None:
    learned, target = features(Case(9, 4, 5))
    options = {"temperature": 0.07, "sample_size": 4}
    rows = similarity_alignment_loss(learned, target, reduction="none", **options)
    assert rows.shape == (9,)
    torch.testing.assert_close(similarity_alignment_loss(learned, target, **options), rows.mean())
    torch.testing.assert_close(
        similarity_alignment_loss(learned, target, reduction="sum", **options), rows.sum()
    )


@pytest.mark.parametrize("case", [
    *(
        Case(300, 20, 24, tau, kind, dtype)
        for kind, dtype, tau in itertools.product(KINDS, (FP32, BF16, FP16), (0.01, 0.07))
    ),
    *(Case(40, k, 24, 0.01, kind, dtype) for kind, dtype, k in itertools.product(KINDS, (FP32, BF16), (7, 99))),
    Case(250, 64, 512), Case(250, 64, 512, dtype=BF16), Case(700, 64, 64), Case(161, 64, 33, direction=REVERSE),
], ids=str)  # fmt: skip
def test_error_is_within_budget(case: Case) -> None:
    assert_within_budget(case, "torch")


@settings(max_examples=300, deadline=None)
@given(
    n=st.integers(2, 260), k=st.integers(1, 300), d=st.integers(1, 40), tau=st.sampled_from([0.01, 0.07, 1.0]),
    kind=st.sampled_from(KINDS), dtype=st.sampled_from([FP32, BF16, FP16]),
    direction=st.sampled_from([REVERSE, "target||learned"]),
)  # fmt: skip
@example(n=149, k=39, d=1, tau=1.0, kind="duplicates", dtype=FP32, direction="target||learned")
@example(n=248, k=40, d=1, tau=1.0, kind="zero", dtype=BF16, direction=REVERSE)
@example(n=201, k=43, d=3, tau=1.0, kind="strided", dtype=FP32, direction="target||learned")
@example(n=184, k=27, d=2, tau=0.01, kind="plain", dtype=FP32, direction=REVERSE)
@example(n=3, k=38, d=31, tau=1.0, kind="near", dtype=FP16, direction="target||learned")
def test_any_sizes(n: int, k: int, d: int, tau: float, kind: str, dtype: torch.dtype, direction: str) -> None:
    assert_within_budget(Case(n, k, d, tau, kind, dtype, direction), "torch")


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 150), data=st.data())
def test_the_band_at_any_width(n: int, data: st.DataObject) -> None:
    """The ring operator itself, also where the public function would prefer one matmul, in fp64."""
    k = data.draw(st.integers(1, n - 1))
    reverse = data.draw(st.booleans())
    learned, target = features(Case(n, k, 6, dtype=FP64), seed=data.draw(st.integers(0, 99)))
    learned.requires_grad_()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(n))
    weight = torch.linspace(-1, 1, n, dtype=FP64)
    rows, saved = torch.ops.sar_reg.sampled_kl(learned, target, None, order, k, 0.07, False, reverse, "torch")
    expected = reference.row_kl(learned, target, ring_neighbours(order, k), 0.07, reverse)
    torch.testing.assert_close(rows, expected, rtol=1e-10, atol=1e-11)
    (grad,) = torch.autograd.grad((rows * weight).sum(), learned)
    (expected_grad,) = torch.autograd.grad((expected * weight).sum(), learned)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-9, atol=1e-11)
    assert saved.shape == (n * (2 * k + 1),)
    torch.testing.assert_close(saved[-n:], 1 / learned.detach().norm(dim=1)[order])


def test_several_chunks_and_several_row_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory bounds change nothing in the values."""
    case = Case(333, 10, 16, dtype=FP64)
    learned, target = features(case)
    weight = torch.linspace(-1, 1, case.n, dtype=FP64)
    expected = oracle(case, learned, target, weight)
    monkeypatch.setattr(torch_ring, "_CHUNK", 64)
    torch.testing.assert_close(run(case, learned, target, weight, "torch"), expected)
    full = similarity_alignment_loss(learned, target, temperature=0.01, reduction="none")
    monkeypatch.setattr(torch_dense, "_BLOCK_ELEMENTS", 333 * 50)
    x = learned.clone().requires_grad_()
    in_blocks = similarity_alignment_loss(x, target, temperature=0.01, reduction="none")
    torch.testing.assert_close(in_blocks.detach(), full)
    others = sample_classes(333, 332, seed=0, step=0)
    y = learned.clone().requires_grad_()
    (expected_grad,) = torch.autograd.grad(reference.row_kl(y, target, others, 0.01, False).sum(), y)
    torch.testing.assert_close(torch.autograd.grad(in_blocks.sum(), x)[0], expected_grad)


@pytest.mark.parametrize("direction", ["target||learned", REVERSE])
@pytest.mark.parametrize(
    ("n", "k", "d", "impl"),
    [(6, 3, 4, "reference"), (6, 3, 4, "torch"), (6, 5, 4, "torch"), (120, 5, 2, "torch")],
)
def test_gradcheck(n: int, k: int, d: int, impl: str, direction: str) -> None:
    learned, target = features(Case(n, k, d, dtype=FP64))

    def loss(x: torch.Tensor) -> torch.Tensor:
        return similarity_alignment_loss(
            x, target, temperature=0.2, sample_size=k, reduction="none", direction=direction, impl=impl
        )

    assert torch.autograd.gradcheck(loss, learned.requires_grad_(), fast_mode=n > 10)


@pytest.mark.parametrize("sampling", ["ring", "independent"])
@pytest.mark.parametrize("n", [30, 300])
def test_reference_and_torch_see_the_same_draw(n: int, sampling: str) -> None:
    learned, target = features(Case(n, 7, 8, dtype=FP64))
    options = {
        "temperature": 0.05,
        "sample_size": 7,
        "seed": 11,
        "step": 4,
        "reduction": "none",
        "sampling": sampling,
    }
    rows = [
        similarity_alignment_loss(learned, target, impl=impl, **options) for impl in ("reference", "torch")
    ]
    torch.testing.assert_close(rows[0], rows[1])
    mine = sample_classes(n, 7, seed=11, step=4, sampling=sampling)
    by_hand = similarity_alignment_loss(learned, target, temperature=0.05, indices=mine, reduction="none")
    torch.testing.assert_close(by_hand, rows[0])


@pytest.mark.parametrize("n", [20, 200])
def test_zero_row_and_nan(n: int) -> None:
    learned, target = features(Case(n, 3, 8, kind="zero"))
    x = learned.clone().requires_grad_()
    loss = similarity_alignment_loss(x, target, temperature=0.01, sample_size=3)
    loss.backward()
    assert x.grad is not None
    assert loss.isfinite()
    assert x.grad.isfinite().all()
    assert x.grad[n // 2].eq(0).all()
    learned[1, 1] = float("nan")
    for size in (3, None):
        assert similarity_alignment_loss(learned, target, temperature=0.01, sample_size=size).isnan()
    rows = similarity_alignment_loss(learned, target, temperature=0.01, sample_size=3, reduction="none")
    touched = (sample_classes(n, 3, seed=0, step=0) == 1).any(dim=1)
    touched[1] = True
    assert torch.equal(rows.isnan(), touched)


def test_bit_equal_twice_and_nothing_read_unwritten() -> None:
    """Uninitialised memory filled with NaN must not show, and no order of additions may change."""
    case = Case(400, 16, 24)
    learned, target = features(case)
    weight = torch.linspace(-1, 1, case.n)
    first = run(case, learned, target, weight, "torch")
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.utils.deterministic.fill_uninitialized_memory
        second = run(case, learned, target, weight, "torch")
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize("impl", ["torch", "triton"])
def test_saved_state_is_at_most_600_bytes_a_row(impl: str) -> None:
    """By the shapes that the operators promise the compiler, to which `opcheck` holds both."""
    learned, target = features(Case(300, 64, 16))
    with FakeTensorMode(allow_non_fake_inputs=True):
        _, saved = torch.ops.sar_reg.sampled_kl(
            learned, target, None, torch.randperm(300), 64, 0.01, False, False, impl
        )
    row_kl_bytes, order_bytes = 4, 8
    assert saved.nbytes / 300 + row_kl_bytes + order_bytes <= 600


def test_half_precision_features_are_not_multiplied_in_half_precision() -> None:
    """Autocast does not reach inside: the value is that of the upcast features, bit for bit."""
    learned, target = features(Case(300, 16, 64, dtype=BF16))
    options = {"temperature": 0.01, "sample_size": 16}
    outside = similarity_alignment_loss(learned, target, **options)
    with torch.autocast("cpu", dtype=BF16):
        inside = similarity_alignment_loss(learned, target, **options)
        full = similarity_alignment_loss(learned, target, temperature=0.01)
    assert torch.equal(inside, outside)
    assert torch.equal(inside, similarity_alignment_loss(learned.float(), target.float(), **options))
    assert torch.equal(full, similarity_alignment_loss(learned, target, temperature=0.01))
    assert inside.dtype == FP32


@pytest.mark.parametrize("options", [
    {"sample_size": 16}, {"sample_size": 16, "sampling": "independent"}, {"sample_size": None}
], ids=str)  # fmt: skip
def test_backward_called_under_autocast_gives_the_same_gradient(options: dict[str, object]) -> None:
    learned, target = features(Case(300, 16, 64))
    grads = []
    for enabled in (False, True):
        x = learned.clone().requires_grad_()
        loss = similarity_alignment_loss(x, target, temperature=0.01, **options)
        with torch.autocast("cpu", dtype=BF16, enabled=enabled):
            grads.append(torch.autograd.grad(loss, x)[0])
    assert torch.equal(grads[0], grads[1])
