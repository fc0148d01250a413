"""CoPrompt, alone and with SAR, against recorded runs of its authors' code."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from torch.nn.functional import normalize

from examples.coprompt.method import CoPrompt
from examples.maple.method import MaPLe
from examples.protocol.recipe import load_recipe
from tests import ROOT
from tests.parity.traces import START, Trace, assert_near, check_evaluation, check_start, check_training

METHOD = "CoPrompt"
NAMES = {
    "compound_prompts_text.": "deep_ctx.",
    "compound_prompt_projections.": "deep_proj.",
    "adapter_image.fc.0.": "adapter_image.down.",
    "adapter_image.fc.2.": "adapter_image.up.",
    "adapter_text.fc.0.": "adapter_text.down.",
    "adapter_text.fc.2.": "adapter_text.up.",
}
RECIPE = ROOT / "examples" / "coprompt" / "recipe.toml"


@pytest.fixture(scope="module")
def method(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> CoPrompt:
    """Built from the recipe of the run's data set, which its recorded options must equal."""
    file = tmp_path_factory.mktemp("descriptions") / "file.json"
    file.write_text(json.dumps(trace.meta["descriptions"]))
    recipe = replace(load_recipe(RECIPE, "official", trace.dataset), descriptions=str(file))
    for option, ours in (("N_CTX", "n_ctx"), ("PROMPT_DEPTH", "depth"), ("W", "reg_weight")):
        assert trace.option(option, getattr(recipe, ours)) == getattr(recipe, ours), option
    names = trace.classnames
    return CoPrompt(
        trace.model, trace.tokenizer, names, n_base=trace.n_base, recipe=recipe, dataset=trace.dataset
    )


def test_features_and_logits_before_training(method: CoPrompt, trace: Trace) -> None:
    check_start(method, trace)


def test_features_before_the_adapters(method: CoPrompt, trace: Trace) -> None:
    if trace.has_sar:
        return
    method.load_learned(trace.learned("init"))
    text = MaPLe.encode_text(method)
    images = MaPLe.encode_images(method, trace.images[0])
    assert_near("text", normalize(text, dim=-1), normalize(trace["text_features_preadapter"], dim=-1), START)
    assert_near(
        "images", normalize(images, dim=-1), normalize(trace["image_features_preadapter"], dim=-1), START
    )
    teacher = normalize(method.image_encoder(trace.images[1]), dim=-1)
    assert_near("image teacher", teacher, trace["teacher_image_features"], START)


def test_the_descriptions(method: CoPrompt, trace: Trace) -> None:
    recorded = trace["description_features"][:, : trace.n_base]
    assert_near("descriptions", method.description_bank, recorded, START)


def test_the_drawn_descriptions(trace: Trace) -> None:
    random.seed(trace.meta["torch_seed"])
    drawn = [random.randrange(len(trace["description_features"])) for _ in trace["description_index"]]
    assert drawn == trace["description_index"].tolist()


def test_losses_gradients_and_five_steps(method: CoPrompt, trace: Trace) -> None:
    random.seed(trace.meta["torch_seed"])
    check_training(method, trace)


def test_evaluation_on_trained_and_new_classes(method: CoPrompt, trace: Trace) -> None:
    check_evaluation(method, trace)
