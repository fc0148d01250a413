"""KgCoOp, alone and with SAR, against recorded runs of its authors' code."""

from __future__ import annotations

import pytest

from examples.kgcoop.method import KgCoOp
from examples.protocol.recipe import Recipe
from tests.parity.traces import START, Trace, assert_near, check_evaluation, check_start, check_training

METHOD = "KgCoOp"


@pytest.fixture(scope="module")
def method(trace: Trace) -> KgCoOp:
    recipe = Recipe(reg_weight=trace.option("W", 8.0))
    names = trace.classnames
    return KgCoOp(
        trace.model, trace.tokenizer, names, n_base=trace.n_base, recipe=recipe, dataset=trace.dataset
    )


def test_features_and_logits_before_training(method: KgCoOp, trace: Trace) -> None:
    assert (method.ctx == trace.learned("init")["ctx"]).all(), "the context starts from the words"
    check_start(method, trace)


def test_the_teacher(method: KgCoOp, trace: Trace) -> None:
    assert_near("teacher", method.teacher, trace["hand_text_features"][: trace.n_base], START)


def test_losses_gradients_and_five_steps(method: KgCoOp, trace: Trace) -> None:
    check_training(method, trace)


def test_evaluation_on_trained_and_new_classes(method: KgCoOp, trace: Trace) -> None:
    check_evaluation(method, trace)
