"""The module: when it draws, what it stores, what it shows, what it refuses."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch

from sar_reg import SimilarityAlignmentLoss, similarity_alignment_loss
from sar_reg.errors import InputError
from tests.sampled_kl.cases import Case, features

LEARNED, TARGET = features(Case(20, 5, 8))
UNIT = torch.nn.functional.normalize(TARGET, dim=1)
BANK = SimpleNamespace(embeddings=UNIT, temperature=0.05, classnames=tuple(f"class {i}" for i in range(20)))


def expected(step: int, **options: object) -> torch.Tensor:
    return similarity_alignment_loss(
        LEARNED, UNIT, temperature=0.05, **({"sample_size": 5, "seed": 9, "step": step} | options)
    )


def test_draws_anew_at_each_training_step() -> None:
    sar = SimilarityAlignmentLoss(BANK, sample_size=5, seed=9)
    losses = [sar(LEARNED) for _ in range(3)]
    assert losses == [expected(step) for step in range(3)]
    assert len({loss.item() for loss in losses}) == 3
    assert sar.step.item() == 3


def test_eval_uses_all_other_classes_and_draws_nothing() -> None:
    sar = SimilarityAlignmentLoss(BANK, sample_size=5, seed=9).eval()
    assert torch.equal(sar(LEARNED), expected(0, sample_size=None))
    assert sar.step.item() == 0


@pytest.mark.parametrize("sampling", ["ring", "independent"])
def test_options_reach_the_function(sampling: str) -> None:
    options = {"sampling": sampling, "reduction": "none", "direction": "learned||target", "impl": "reference"}
    sar = SimilarityAlignmentLoss(BANK, 5, 9, **options)
    assert torch.equal(sar(LEARNED), expected(0, **options))


def test_resumed_run_draws_on() -> None:
    first = SimilarityAlignmentLoss(BANK, sample_size=5, seed=9)
    first(LEARNED)
    first(LEARNED)
    state = copy.deepcopy(first.state_dict())
    assert list(state) == ["step"]
    resumed = SimilarityAlignmentLoss(BANK, sample_size=5, seed=9)
    resumed.load_state_dict(state)
    assert torch.equal(resumed(LEARNED), first(LEARNED))
    assert torch.equal(resumed(LEARNED), expected(3))


def test_half_never_rounds_the_bank() -> None:
    parent = torch.nn.ModuleDict({"sar": SimilarityAlignmentLoss(BANK, sample_size=5, seed=9)}).half()
    sar = parent["sar"]
    assert isinstance(sar, SimilarityAlignmentLoss)
    assert sar.target.dtype == torch.float32
    assert torch.equal(sar.target, UNIT)
    assert sar.step.dtype == torch.int64
    assert torch.equal(sar(LEARNED), expected(0))


def test_follows_the_device() -> None:
    sar = SimilarityAlignmentLoss(BANK).to("meta")
    assert sar.target.device.type == "meta"
    assert sar.step.device.type == "meta"


def test_gradient_reaches_the_features_only() -> None:
    x = LEARNED.clone().requires_grad_()
    SimilarityAlignmentLoss(BANK, sample_size=5)(x).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert not list(SimilarityAlignmentLoss(BANK).parameters())
    # The loss does not depend on the features' length, so the gradient is orthogonal to them.
    torch.testing.assert_close((x.grad * LEARNED).sum(1), torch.zeros(20), rtol=0, atol=1e-5)


def test_compiles_with_its_step() -> None:
    torch._dynamo.reset()
    eager, module = (SimilarityAlignmentLoss(BANK, sample_size=5, seed=9) for _ in range(2))
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for _ in range(3):
        torch.testing.assert_close(compiled(LEARNED), eager(LEARNED))
    assert module.step.item() == 3


@pytest.mark.parametrize(("size", "shown"), [(64, "K=19"), (None, "K=19"), (5, "K=5")])
def test_repr_shows_the_effective_size(size: int | None, shown: str) -> None:
    text = repr(SimilarityAlignmentLoss(BANK, sample_size=size))
    assert text == (
        f"SimilarityAlignmentLoss(N=20, {shown}, τ=0.05, sampling=ring, target||learned, mean, impl=torch (auto))"
    )
    assert "impl=reference)" in repr(SimilarityAlignmentLoss(BANK, impl="reference"))
    # on a CPU it will refuse to run, which is no reason not to print
    assert "impl=triton)" in repr(SimilarityAlignmentLoss(BANK, impl="triton"))


@pytest.mark.parametrize(("rows", "names", "message"), [
    (LEARNED[:19], None, "one row for each of the bank's 20 classes, base and novel, .* there are 19 rows"),
    (LEARNED[:, :5], None, r"learned features have shape \(20, 5\) but target has \(20, 8\)"),
    (LEARNED.long(), None, "must be floating point, not torch.int64"),
    (LEARNED, BANK.classnames[:3], "expected 20 class names, as in the bank, not 3"),
    (LEARNED, BANK.classnames[1:] + BANK.classnames[:1],
     "row 0 of the features is 'class 1', but the bank has 'class 0' there; encode the classes in the order of"),
])  # fmt: skip
def test_features_that_do_not_fit(rows: torch.Tensor, names: tuple[str, ...] | None, message: str) -> None:
    sar = SimilarityAlignmentLoss(BANK)
    with pytest.raises(InputError, match=message):
        sar(rows, names)
    assert sar.step.item() == 0
    sar(LEARNED, BANK.classnames)


@pytest.mark.parametrize(("options", "message"), [
    ({"sample_size": 0}, "sample_size must be at least 1"),
    ({"sampling": "none"}, "sampling must be one of"),
    ({"reduction": "avg"}, "reduction must be one of"),
    ({"direction": "x"}, "direction must be one of"),
    ({"impl": "x"}, "impl must be one of"),
    ({"seed": 1.5}, r"seed must be an int, not 1.5"),
])  # fmt: skip
def test_options_that_do_not_exist(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SimilarityAlignmentLoss(BANK, **options)


def test_what_is_no_bank() -> None:
    with pytest.raises(
        InputError, match=r"bank must be an AnchorBank, not Tensor; .* read one with AnchorBank.load"
    ):
        SimilarityAlignmentLoss(UNIT)


def test_bank_of_one_class() -> None:
    lonely = SimpleNamespace(embeddings=UNIT[:1], temperature=0.05, classnames=("a",))
    with pytest.raises(InputError, match="at least 2 classes, not 1"):
        SimilarityAlignmentLoss(lonely)
