"""MaPLe at several depths, alone and with SAR, against recorded runs of its authors' code."""

from __future__ import annotations

import pytest
import torch

from examples.maple.method import MaPLe
from examples.protocol.recipe import Recipe
from tests.parity.traces import Trace, check_evaluation, check_start, check_training

METHOD = "MaPLe"
NAMES = {"compound_prompts_text.": "deep_ctx.", "compound_prompt_projections.": "deep_proj."}


@pytest.fixture(scope="module")
def method(trace: Trace) -> MaPLe:
    return make(trace)


def make(trace: Trace) -> MaPLe:
    recipe = Recipe(n_ctx=trace.option("N_CTX", 2), depth=trace.option("PROMPT_DEPTH", 9))
    names = trace.classnames
    return MaPLe(
        trace.model, trace.tokenizer, names, n_base=trace.n_base, recipe=recipe, dataset=trace.dataset
    )


def test_the_start(trace: Trace) -> None:
    ours, recorded = make(trace).learned(), trace.learned("init")
    assert torch.equal(ours["ctx"], recorded["ctx"]), "the context starts from the words"
    copies = [name for name in recorded if name.startswith("deep_proj.")]
    assert len(copies) > 2
    for start in (ours, recorded):  # one layer and its copies
        for name in copies:
            assert torch.equal(start[name], start[f"deep_proj.0.{name.rpartition('.')[2]}"])


def test_features_and_logits_before_training(method: MaPLe, trace: Trace) -> None:
    check_start(method, trace)


def test_losses_gradients_and_five_steps(method: MaPLe, trace: Trace) -> None:
    check_training(method, trace)


def test_evaluation_on_trained_and_new_classes(method: MaPLe, trace: Trace) -> None:
    check_evaluation(method, trace)
