"""The module: when it draws, what it stores, what it shows, what it refuses."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from sar_reg import SarRegError, SimilarityAlignmentLoss, similarity_alignment_loss
from sar_reg.errors import InputError
from tests.sampled_kl.cases import Case, features

LEARNED, TARGET = features(Case(20, 5, 8))
UNIT = torch.nn.functional.normalize(TARGET, dim=1)
BANK = SimpleNamespace(embeddings=UNIT, temperature=0.05, classnames=tuple(f"class {i}" for i in range(20)))

Region = Callable[[Callable[[torch.Tensor], torch.Tensor], torch.Tensor], torch.Tensor]
Pattern = Callable[[SimilarityAlignmentLoss, Region, torch.Tensor], torch.Tensor]


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
    assert (sar.temperature, sar.seed, sar.sample_size) == (0.05, 9, 5)
    assert {name: getattr(sar, name) for name in options} == options


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


def test_states_with_and_without_a_step() -> None:
    """A model trained without the loss loads into one with it, which keeps its step, and the reverse."""
    head = torch.nn.Linear(8, 8)
    with_loss = torch.nn.ModuleDict({"head": head, "sar": SimilarityAlignmentLoss(BANK, 5, 9)})
    without = torch.nn.ModuleDict({"head": torch.nn.Linear(8, 8)})
    with_loss["sar"](LEARNED)
    with_loss.load_state_dict(without.state_dict())
    assert with_loss["sar"].step.item() == 1
    assert torch.equal(head.weight, without["head"].weight)
    assert without.load_state_dict(with_loss.state_dict(), strict=False).unexpected_keys == ["sar.step"]
    assert "sar.step" not in without.state_dict()


@pytest.mark.parametrize("given", [4, np.int64(4), torch.tensor(4)])
def test_a_named_step_holds_the_draw(given: int | torch.Tensor) -> None:
    sar = SimilarityAlignmentLoss(BANK, sample_size=5, seed=9)
    assert [sar(LEARNED, step=given) for _ in range(2)] == [expected(4)] * 2
    assert torch.equal(sar(LEARNED, step=sar.step), expected(0))
    assert sar.step.item() == 0
    assert torch.equal(sar(LEARNED), expected(0))
    with pytest.raises(InputError, match=r"step must be an int or a 0-d int64 tensor, not 1.5"):
        sar(LEARNED, step=1.5)


def test_lbfgs_with_a_held_draw_minimises_one_function() -> None:
    sar = SimilarityAlignmentLoss(BANK, sample_size=5, seed=9)
    x = LEARNED.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([x], max_iter=5, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = sar(x, step=2)
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert sar(x, step=2) < first
    assert sar.step.item() == 0


def one_call(sar: SimilarityAlignmentLoss, region: Region, weight: torch.Tensor) -> torch.Tensor:
    return region(lambda w: sar(LEARNED @ w), weight)


def calls_before_and_after(
    sar: SimilarityAlignmentLoss, region: Region, weight: torch.Tensor
) -> torch.Tensor:
    loss = sar(LEARNED @ weight) + region(lambda w: 2 * sar((LEARNED @ w).sin()), weight)
    with torch.no_grad():
        sar(LEARNED)
    return loss + sar(LEARNED @ weight.cos())


def three_regions(sar: SimilarityAlignmentLoss, region: Region, weight: torch.Tensor) -> torch.Tensor:
    return sum(i * region(lambda w: sar(LEARNED @ w) * w.sum(), weight) for i in (1, 2, 3))


def two_calls_in_one(sar: SimilarityAlignmentLoss, region: Region, weight: torch.Tensor) -> torch.Tensor:
    return region(lambda w: sar(LEARNED @ w) * w.sum() + 2 * sar((LEARNED @ w).sin()), weight)


@pytest.mark.parametrize("pattern", [one_call, calls_before_and_after, three_regions, two_calls_in_one])
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("sampling", ["ring", "independent"])
def test_activation_checkpointing_repeats_the_draw(sampling: str, reentrant: bool, pattern: Pattern) -> None:
    def gradients(checkpointed: bool) -> list[torch.Tensor]:
        sar = SimilarityAlignmentLoss(BANK, 5, 9, sampling)
        weight, found = torch.eye(8, requires_grad=True), []
        for _ in range(3):
            region = partial(checkpoint, use_reentrant=reentrant) if checkpointed else lambda f, x: f(x)
            weight.grad = None
            pattern(sar, region, weight).backward()
            found.append(weight.grad)
        return [*found, sar.step]

    for plain, repeated in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(repeated, plain)


# an interrupted nested checkpoint of PyTorch before 2.13 complains when it is collected
@pytest.mark.filterwarnings("ignore:Exception ignored in. <generator object _checkpoint_without_reentrant")
def test_recomputations_that_cannot_be_told_apart_are_refused() -> None:
    sar = SimilarityAlignmentLoss(BANK, 5, 9)
    weight = torch.eye(8, requires_grad=True)

    def inner(w: torch.Tensor, **options: object) -> torch.Tensor:
        calls = [
            checkpoint(lambda v: sar(LEARNED @ v, **options) * v.sum(), w, use_reentrant=False) for _ in "ab"
        ]
        return calls[0] + 2 * calls[1]

    loss = checkpoint(inner, weight, use_reentrant=False)
    with pytest.raises(
        SarRegError, match=r"nested checkpoints, or a hook\); name the draw yourself: sar\(text"
    ):
        loss.backward()
    checkpoint(partial(inner, step=3), weight, use_reentrant=False).backward()
    found, weight.grad = weight.grad, None
    (3 * sar(LEARNED @ weight, step=3) * weight.sum()).backward()
    torch.testing.assert_close(found, weight.grad)
    weight.register_hook(lambda grad: sar(LEARNED) * grad)
    with pytest.raises(SarRegError, match="called during a backward pass"):
        weight.sum().backward()


def test_made_and_moved_in_inference_mode() -> None:
    with torch.inference_mode():
        bank = SimpleNamespace(**(vars(BANK) | {"embeddings": UNIT.clone()}))
        sar = SimilarityAlignmentLoss(bank, sample_size=5, seed=9).to("cpu")
        assert torch.equal(sar(LEARNED), expected(0))
    x = LEARNED.clone().requires_grad_()
    sar(x).backward()
    assert x.grad is not None
    assert sar.step.item() == 2


def test_copies_draw_on_their_own() -> None:
    sar = SimilarityAlignmentLoss(BANK, sample_size=5, seed=9)
    sar(LEARNED)
    for copied in (copy.deepcopy(sar), pickle.loads(pickle.dumps(sar))):
        assert torch.equal(copied(LEARNED), expected(1))
    assert sar.step.item() == 1


def test_numpy_sizes() -> None:
    sar = SimilarityAlignmentLoss(BANK, np.int64(5), np.int32(9))
    assert torch.equal(sar(LEARNED), expected(0))


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
        f"SimilarityAlignmentLoss(N=20, {shown}, temperature=0.05, sampling=ring, target||learned, mean, "
        "impl=torch (auto))"
    )
    assert "impl=reference)" in repr(SimilarityAlignmentLoss(BANK, impl="reference"))
    # on a CPU it refuses to run, but it can still be printed
    assert "impl=triton)" in repr(SimilarityAlignmentLoss(BANK, impl="triton"))


@pytest.mark.parametrize(("rows", "names", "message"), [
    (LEARNED[:19], None, "one row for each of the bank's 20 classes, base and novel, .* got 19 rows"),
    (LEARNED[:, :5], None, r"learned features have shape \(20, 5\) but target has \(20, 8\)"),
    (None, None, r"text_features must be a dense tensor \(20, D\), not NoneType"),
    (LEARNED[0], None, r"text_features must have shape \(20, D\), not \(8,\)"),
    (LEARNED[None], None, r"text_features must have shape \(20, D\), not \(1, 20, 8\)"),
    (LEARNED.tolist(), None, r"text_features must be a dense tensor \(20, D\), not list"),
    (LEARNED, 3, "classnames must be a list of class names, not int"),
    (LEARNED.long(), None, "text_features must be floating point, not torch.int64"),
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
    ({"sample_size": 0}, "sample_size must be an int of 1 or more"),
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
    message = r"AnchorBank, not Tensor \(it has no embeddings\); .* read one with AnchorBank.load"
    with pytest.raises(InputError, match=message):
        SimilarityAlignmentLoss(UNIT)
    for wrong, message in (
        ({"temperature": "0.05"}, "temperature must be a positive, finite number .* not '0.05'"),
        ({"classnames": BANK.classnames[1:]}, "the bank has 20 embeddings but 19 class names"),
        ({"classnames": "abcdefghijklmnopqrst"}, "classnames must be a list of class names, not one string"),
        ({"embeddings": UNIT.tolist()}, "the bank's embeddings must be a dense tensor"),
    ):
        with pytest.raises(InputError, match=message):
            SimilarityAlignmentLoss(SimpleNamespace(**(vars(BANK) | wrong)))


@pytest.mark.parametrize(
    ("n", "options", "kept"),
    [
        (1025, {"sample_size": None}, True),
        (1026, {"sample_size": None}, False),  # the PyTorch path, which does not use the cosines
        (1100, {"sample_size": 1025, "sampling": "independent"}, False),
        (1100, {"sample_size": None, "impl": "triton"}, True),
        (1100, {"sample_size": 64}, True),
        (1100, {"sample_size": 64, "impl": "torch"}, False),
        (4097, {"sample_size": 64}, False),
    ],
)
def test_cosines_are_kept_only_where_the_kernels_run(
    n: int, options: dict[str, Any], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = SimilarityAlignmentLoss._inputs
    monkeypatch.setattr(
        SimilarityAlignmentLoss, "_inputs", lambda sar: (torch.device("cuda"), *inputs(sar)[1:])
    )
    monkeypatch.setattr("sar_reg.sampled_kl.api._TRITON_INSTALLED", True)
    bank = SimpleNamespace(embeddings=torch.eye(n, 2), temperature=0.05, classnames=tuple(map(str, range(n))))
    assert (SimilarityAlignmentLoss(bank, **options).gram is not None) == kept


def test_two_classes_or_one_sample() -> None:
    """Loss and gradient would be 0 in every step."""
    pair = SimpleNamespace(embeddings=UNIT[:2], temperature=0.05, classnames=("a", "b"))
    for bank, size in ((pair, 64), (pair, None), (BANK, 1)):
        with pytest.raises(InputError, match=r"compared with one other class, .* use at least 3 classes"):
            SimilarityAlignmentLoss(bank, size)


def test_bank_of_one_class() -> None:
    lonely = SimpleNamespace(embeddings=UNIT[:1], temperature=0.05, classnames=("a",))
    with pytest.raises(InputError, match="at least 2 classes, not 1"):
        SimilarityAlignmentLoss(lonely)
