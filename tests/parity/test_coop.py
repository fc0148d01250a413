"""CoOp, alone and with SAR, against recorded runs of its authors' code."""

from __future__ import annotations

import pytest

from examples.coop.method import CoOp
from examples.protocol.recipe import Recipe
from tests.parity.traces import Trace, check_evaluation, check_start, check_training

METHOD = "CoOp"


@pytest.fixture(scope="module")
def method(trace: Trace) -> CoOp:
    return make(trace)


def make(trace: Trace) -> CoOp:
    """CoOp with the options of the run; the official code overwrites N_CTX where words are given."""
    words = trace.option("CTX_INIT", "")
    recipe = Recipe(
        n_ctx=len(words.split()) if words else trace.option("N_CTX", 16),
        ctx_init=words,
        class_position=trace.option("CLASS_TOKEN_POSITION", "end"),
    )
    names = trace.classnames
    return CoOp(
        trace.model, trace.tokenizer, names, n_base=trace.n_base, recipe=recipe, dataset=trace.dataset
    )


def test_the_model_is_the_recorded_one(trace: Trace) -> None:
    assert trace.clip_sha256 == trace.meta["clip_sha256"]


def test_features_and_logits_before_training(method: CoOp, trace: Trace) -> None:
    check_start(method, trace)


def test_losses_gradients_and_five_steps(method: CoOp, trace: Trace) -> None:
    check_training(method, trace)


def test_evaluation_on_trained_and_new_classes(method: CoOp, trace: Trace) -> None:
    check_evaluation(method, trace)


def test_words_as_start_are_their_embeddings(trace: Trace) -> None:
    start, recorded = make(trace).ctx, trace.learned("init")["ctx"]
    assert start.shape == recorded.shape
    assert not trace.option("CTX_INIT", "") or (start == recorded).all()
