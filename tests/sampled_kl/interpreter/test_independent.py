"""The kernels for independent sets in Triton's interpreter: the same sets, and errors within the budget."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_reg import sample_classes, similarity_alignment_loss
from sar_reg.sampled_kl import kernels
from sar_reg.sampled_kl.kernels import tiles
from sar_reg.sampled_kl.sampling import ring_order, stream_offset
from tests.sampled_kl.cases import Case, assert_within_budget, features, run

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
REVERSE = "learned||target"
CPU = torch.device("cpu")
DRAWS = [(0, 0), (3, 12345), (-7, 2**40), (2**70, -5)]


def case(n: int, k: int, d: int, **options: object) -> Case:
    return Case(n, k, d, sampling="independent", **options)


@pytest.fixture(params=["dense", "lists"])
def backward(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both backward kernels at sizes that the interpreter can run."""
    if request.param == "lists":
        monkeypatch.setattr(tiles, "DENSE_CLASSES", 0)
    return request.param


@pytest.fixture(scope="module")
def drawn() -> dict[tuple[int, int, int], torch.Tensor]:
    """The sets drawn so far in the interpreter, by their arguments."""
    return {}


@pytest.fixture
def equal_draws_run_once(
    drawn: dict[tuple[int, int, int], torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's sets for arguments that it has had are those of its first run.

    Dozens of cases differ in the features alone, and drawing is more than half of the work of each.
    """
    draw = kernels.draw

    def once(n: int, k: int, step: None, offset: int, device: torch.device) -> torch.Tensor:
        assert step is None
        if (n, k, offset) not in drawn:
            drawn[n, k, offset] = draw(n, k, step, offset, device)
        return drawn[n, k, offset].clone()

    monkeypatch.setattr(kernels, "draw", once)


@pytest.mark.parametrize(("n", "k"), [(3, 1), (5, 2), (9, 7), (17, 8), (17, 9), (40, 22), (130, 64)])
def test_the_same_sets_in_the_same_order(n: int, k: int) -> None:
    for seed, step in DRAWS[-1:] if n > 20 else DRAWS:
        expected = sample_classes(n, k, seed=seed, step=step, sampling="independent")
        assert torch.equal(kernels.draw(n, k, None, stream_offset(seed, step), CPU).long(), expected)
        given_step = torch.tensor(step)
        assert torch.equal(
            kernels.draw(n, k, given_step, stream_offset(seed, given_step), CPU).long(), expected
        )


@pytest.mark.parametrize("n", [2, 15, 130, 300])
@pytest.mark.parametrize("ranked", [True, False])
def test_the_same_ring(n: int, ranked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not ranked:
        monkeypatch.setattr(tiles, "RANKED_CLASSES", 0)
    for seed, step in DRAWS:
        expected = ring_order(n, seed=seed, step=step, device=CPU)
        assert torch.equal(kernels.draw(n, None, None, stream_offset(seed, step), CPU), expected)
        given_step = torch.tensor(step)
        assert torch.equal(kernels.draw(n, None, given_step, stream_offset(seed, given_step), CPU), expected)


@pytest.mark.usefixtures("backward", "equal_draws_run_once")
@pytest.mark.parametrize(("given_case", "kept"), [
    *((case(17, k, d, kind=kind, direction=direction), kept)
      for (k, d), kind, (direction, kept) in itertools.product(
          ((7, 33), (9, 8)), ("plain", "near", "duplicates", "zero", "strided"),
          (("target||learned", True), (REVERSE, False)))),
    *((case(17, 7, 96, kind=kind, dtype=dtype, direction=REVERSE), kept)
      for kind, dtype, kept in itertools.product(("plain", "zero"), (FP16, BF16), (True, False))),
    (case(4, 2, 8), False), (case(60, 2, 8, tau=0.07), False), (case(36, 24, 33, direction=REVERSE), True),
    (case(24, 10, 512), False), (case(70, 66, 24), False),
], ids=str)  # fmt: skip
def test_error_is_within_budget(given_case: Case, kept: bool) -> None:
    assert_within_budget(given_case, "triton", kept)


def test_the_tile_for_more_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above 512 classes the dense kernel takes 32 rows; here at 40."""
    tile = tiles.dense_backward_tile(513, 70)
    assert tile["ROWS"] == 32
    monkeypatch.setattr(tiles, "dense_backward_tile", lambda n, row_stride: tile)
    assert_within_budget(case(40, 6, 70), "triton")


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(4, 20), k=st.integers(2, 18), d=st.integers(1, 40), tau=st.sampled_from([0.01, 0.05, 1.0]),
    kind=st.sampled_from(["plain", "near", "duplicates", "zero", "strided"]),
    dtype=st.sampled_from([FP32, BF16, FP16]), direction=st.sampled_from([REVERSE, "target||learned"]),
    kept=st.booleans(), dense=st.booleans(),
)  # fmt: skip
def test_any_sizes(
    n: int, k: int, d: int, tau: float, kind: str, dtype: torch.dtype, direction: str, kept: bool, dense: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "DENSE_CLASSES", 1024 if dense else 0)
        assert_within_budget(
            case(n, k, d, tau=tau, kind=kind, dtype=dtype, direction=direction), "triton", kept
        )


@pytest.mark.usefixtures("backward", "float64_products")
@pytest.mark.parametrize("direction", ["target||learned", REVERSE])
def test_gradcheck(direction: str) -> None:
    learned, target = features(case(6, 3, 4, dtype=torch.float64))

    def loss(x: torch.Tensor) -> torch.Tensor:
        return similarity_alignment_loss(
            x, target, temperature=0.2, sample_size=3, sampling="independent", reduction="none",
            direction=direction, impl="triton",
        )  # fmt: skip

    assert torch.autograd.gradcheck(loss, learned.requires_grad_(), fast_mode=True)


@pytest.mark.usefixtures("backward")
def test_two_runs_are_bit_equal_and_nothing_is_read_unwritten() -> None:
    """Uninitialised memory filled with NaN must not show, and no order of additions may change."""
    given_case = case(30, 7, 24)
    learned, target = features(given_case)
    weight = torch.randn(30, generator=torch.Generator().manual_seed(0))
    first = run(given_case, learned, target, weight, "triton")
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.utils.deterministic.fill_uninitialized_memory
        second = run(given_case, learned, target, weight, "triton")
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.usefixtures("backward")
def test_reductions_and_expanded_gradients() -> None:
    learned, target = features(case(23, 5, 9))
    options = {"temperature": 0.05, "sample_size": 5, "seed": 1, "sampling": "independent"}
    for reduction in ("mean", "sum"):
        grads = []
        for impl in ("triton", "reference"):
            x = learned.clone().requires_grad_()
            loss = similarity_alignment_loss(x, target, reduction=reduction, impl=impl, **options)
            grads.append(torch.stack([*torch.autograd.grad(3 * loss, x), loss.detach().expand(23, 9)]))
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("sampling", ["ring", "independent"])
def test_nan_in_gives_nan_out_in_the_rows_it_touches(sampling: str) -> None:
    learned, target = features(case(24, 3, 8))
    options = {"temperature": 0.01, "sample_size": 3, "sampling": sampling, "reduction": "none"}
    touched = (sample_classes(24, 3, seed=0, step=0, sampling=sampling) == 4).any(dim=1)
    touched[4] = True
    for length in (float("nan"), 1e-20, 1e25):  # lengths whose squares float32 does not hold are never silent
        x = learned.clone()
        x[4] *= length
        rows = similarity_alignment_loss(x, target, impl="triton", **options)
        assert torch.equal(rows.isnan(), touched)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("k", [None, 3])
def test_registered_operators_pass_opcheck(k: int | None) -> None:
    learned, target = features(case(9, 3, 6))
    for step in (None, torch.tensor(4)):
        torch.library.opcheck(torch.ops.sar_reg.draw.default, (target, step, k, 11))
    sets = torch.ops.sar_reg.draw(target, None, k, 11)
    given_gram = target @ target.T
    arguments = (learned.requires_grad_(), target, given_gram, sets, 3, 0.05, True, False, "triton")
    torch.library.opcheck(torch.ops.sar_reg.sampled_kl.default, arguments)
