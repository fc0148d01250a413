"""The loop: what a step minimises, in parts and in several precisions, and when it stops."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from examples.coop.method import CoOp
from examples.protocol.data.images import Batch
from examples.protocol.recipe import Recipe
from examples.protocol.schedule import learning_rate, make_optimizer, set_rate
from examples.protocol.training import train, train_step
from sar_reg import SimilarityAlignmentLoss, similarity_alignment_loss
from sar_reg.errors import SarRegError
from tests.fabricated.runs import small_clip
from tests.protocol.conftest import MakeRun


def coop(run, recipe: Recipe | None = None) -> tuple[CoOp, SimilarityAlignmentLoss, Batch]:
    """A method, its regulariser and one batch of the run."""
    torch.manual_seed(0)
    recipe = recipe or run.config.recipe
    bank = run.experiment.bank
    method = CoOp(*small_clip(), bank.classnames, n_base=bank.n_base, recipe=recipe, dataset="squares")
    sar = SimilarityAlignmentLoss(bank, sample_size=4, seed=1, sampling="independent")
    images = run.experiment.training_images(1, method, group=_alone())
    return method, sar, next(images.epoch(0))


def _alone():
    from examples.protocol.distributed import SINGLE_PROCESS

    return SINGLE_PROCESS


def test_a_step_follows_the_gradient_of_ce_plus_lambda_sar(make_run: MakeRun) -> None:
    run = make_run(lam=0.5, weight_decay=0.0)
    method, sar, batch = coop(run)
    start = method.ctx.detach().clone()
    text = method.encode_text()
    logits = (
        normalize(batch.features, dim=-1)
        @ normalize(text[: method.n_base], dim=-1).T
        / run.experiment.bank.temperature
    )
    ce = cross_entropy(logits, batch.labels)
    term = similarity_alignment_loss(
        text, run.experiment.bank.embeddings, temperature=run.experiment.bank.temperature,
        sample_size=4, seed=1, step=0, sampling="independent",
    )  # fmt: skip
    (gradient,) = torch.autograd.grad(ce + 0.5 * term, method.ctx)
    optimizer = make_optimizer(method.learned().values(), run.config.recipe)
    set_rate(optimizer, 0.1)
    terms = train_step(method, sar, batch, optimizer, run.config.recipe)
    assert torch.allclose(method.ctx, start - 0.1 * gradient, atol=1e-6)
    assert terms["ce"].item() == pytest.approx(ce.item(), rel=1e-5)
    assert terms["sar"].item() == pytest.approx(term.item(), rel=1e-5)
    assert terms["loss"].item() == pytest.approx(ce.item() + 0.5 * term.item(), rel=1e-5)
    assert sar.step == 1


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_of_a_batch_give_the_whole_batchs_step(make_run: MakeRun, parts: int) -> None:
    found = []
    for accumulate in (1, parts):
        run = make_run(accumulate=accumulate)
        method, sar, batch = coop(run)
        optimizer = make_optimizer(method.learned().values(), run.config.recipe)
        terms = train_step(method, sar, batch, optimizer, run.config.recipe)
        found.append((method.ctx.grad, terms, sar.step.item()))
    (whole, whole_terms, _), (cut, cut_terms, draws) = found
    assert torch.allclose(whole, cut, atol=1e-6 * whole.abs().max())
    assert all(math.isclose(whole_terms[name], cut_terms[name], rel_tol=1e-5) for name in whole_terms)
    assert draws == 1


def test_curves_hold_the_rate_and_the_terms_of_every_epoch(make_run: MakeRun) -> None:
    run = make_run(epochs=4)
    method, sar, _ = coop(run)
    told: list[int] = []
    images = run.experiment.training_images(1, method, group=_alone())
    curves, taken_up = train(
        method, sar, images, run.config.recipe, on_epoch=lambda epoch, values: told.append(epoch)
    )
    assert taken_up == 0
    assert told == [0, 1, 2, 3]
    assert curves["lr"] == [learning_rate(epoch, 0.02, 4) for epoch in range(4)]
    for loss, ce, term in zip(curves["loss"], curves["ce"], curves["sar"], strict=True):
        assert loss == pytest.approx(ce + term, rel=1e-5)
    assert sar.step == 4 * 3, "three batches of five of the sixteen images, four times"


def test_frozen_weights_stay_frozen(make_run: MakeRun) -> None:
    run = make_run()
    method, sar, batch = coop(run)
    train_step(
        method, sar, batch, make_optimizer(method.learned().values(), run.config.recipe), run.config.recipe
    )
    assert list(method.learned()) == ["ctx"]
    assert all(weight.grad is None for weight in method.model.parameters())


def test_a_loss_that_is_not_finite_stops_the_run(make_run: MakeRun) -> None:
    run = make_run(sar=False, lr=1e9)
    with pytest.raises(
        SarRegError, match=r"the loss became (nan|inf) in epoch [23]; lower the learning rate"
    ):
        run.start()


def test_bf16_keeps_prompts_and_loss_in_fp32(make_run: MakeRun) -> None:
    terms = {}
    for precision in ("fp32", "bf16"):
        run = make_run(precision=precision)
        method, sar, batch = coop(run)
        optimizer = make_optimizer(method.learned().values(), run.config.recipe)
        with method.autocast():
            assert method.encode_text().dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
        terms[precision] = train_step(method, sar, batch, optimizer, run.config.recipe)
        assert method.ctx.dtype == method.ctx.grad.dtype == terms[precision]["sar"].dtype == torch.float32
    assert terms["bf16"]["ce"].item() == pytest.approx(terms["fp32"]["ce"].item(), rel=0.02)
    assert terms["bf16"]["ce"] != terms["fp32"]["ce"]
