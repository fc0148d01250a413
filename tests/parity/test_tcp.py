"""TCP with SGD and Adam, alone and with SAR, against recorded runs of its authors' code."""

from __future__ import annotations

import pytest

from examples.protocol.recipe import Recipe
from examples.tcp.method import TCP
from tests.parity.traces import START, Trace, assert_near, check_evaluation, check_start, check_training

METHOD = "TCP"
NAMES = {"meta_net.": ""}


@pytest.fixture(scope="module")
def method(trace: Trace) -> TCP:
    recipe = Recipe(n_ctx=trace.option("N_CTX", 4), ctx_init="", class_block=8, reg_weight=8.0)
    names = trace.classnames
    return TCP(trace.model, trace.tokenizer, names, n_base=trace.n_base, recipe=recipe, dataset=trace.dataset)


def test_features_and_logits_before_training(method: TCP, trace: Trace) -> None:
    check_start(method, trace)


def test_the_teacher(method: TCP, trace: Trace) -> None:
    assert_near("teacher", method.teacher, trace["hand_text_features"], START)


def test_losses_gradients_and_five_steps(method: TCP, trace: Trace) -> None:
    check_training(method, trace)


def test_evaluation_on_trained_and_new_classes(method: TCP, trace: Trace) -> None:
    check_evaluation(method, trace)
