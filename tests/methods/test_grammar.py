"""The same questions to all five methods: does it learn, keep its state, and serve other classes?"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from examples.protocol.cli import command
from examples.protocol.recipe import OF_METHODS
from examples.protocol.schedule import make_optimizer
from sar_reg.errors import InputError
from sar_reg.shapes import Tensor
from tests import ROOT
from tests.methods.conftest import BASE, METHODS, NEW, NOVEL, Build

pytestmark = pytest.mark.filterwarnings("ignore::examples.coprompt.descriptions.DescriptionsMissingWarning")

TERMS = {
    "coop": {"ce"},
    "kgcoop": {"ce", "reg_text"},
    "tcp": {"ce", "reg_text"},
    "maple": {"ce"},
    "coprompt": {"ce", "reg_text", "reg_image"},
}


def given(method: object, views: list[Tensor]) -> list[Tensor]:
    """As many views as the method wants."""
    return views[: method.views]


def test_a_step_gives_the_loss_of_its_terms(
    name: str, build: Build, views: list[Tensor], labels: Tensor
) -> None:
    method = build(name)
    step = method.step(given(method, views), labels)
    assert step.text_features.shape == (len(BASE + NOVEL), 32)
    assert set(step.terms) == TERMS[name]
    weight = METHODS[name][1].reg_weight
    regularisers = sum(value for term, value in step.terms.items() if term != "ce")
    torch.testing.assert_close(step.loss, step.terms["ce"] + weight * regularisers)


def test_training_reaches_every_learned_tensor_and_nothing_else(
    name: str, build: Build, views: list[Tensor], labels: Tensor
) -> None:
    torch.manual_seed(0)
    method = build(name)
    frozen = {key: value.clone() for key, value in method.model.state_dict().items()}
    optimizer = make_optimizer(method.parameters(), METHODS[name][1])
    before = method.step(given(method, views), labels).terms["ce"].item()
    for _ in range(10):
        optimizer.zero_grad()
        method.step(given(method, views), labels).loss.backward()
        optimizer.step()
    unreached = [key for key, tensor in method.learned().items() if not tensor.grad.abs().sum() > 0]
    assert not unreached
    assert method.step(given(method, views), labels).terms["ce"].item() < before
    assert all(torch.equal(value, frozen[key]) for key, value in method.model.state_dict().items())


def test_novel_names_change_neither_loss_nor_base_rows(
    name: str, build: Build, views: list[Tensor], labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.randrange", lambda n: 0)
    with_novel, without = build(name), build(name, BASE)
    without.load_learned(with_novel.learned())
    one, other = (method.step(given(method, views), labels) for method in (with_novel, without))
    torch.testing.assert_close(one.loss, other.loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one.text_features[: len(BASE)], other.text_features, rtol=1e-4, atol=1e-5)


def test_saved_state_gives_the_same_logits(
    name: str, build: Build, views: list[Tensor], tmp_path: Path
) -> None:
    trained, fresh = build(name), build(name)
    with torch.no_grad():
        for tensor in trained.parameters():
            tensor += 0.1 * torch.randn_like(tensor)
    save_file(
        {key: value.detach() for key, value in trained.learned().items()}, tmp_path / "learned.safetensors"
    )
    fresh.load_learned(load_file(tmp_path / "learned.safetensors"))
    with torch.no_grad():
        logits = trained(views[0])
        assert logits.shape == (5, len(BASE))
        assert torch.equal(fresh(views[0]), logits)


def test_other_names_than_trained_on(name: str, build: Build, views: list[Tensor]) -> None:
    method = build(name)
    state = torch.random.get_rng_state()
    new, swapped = method.for_classes(NEW), method.for_classes(NEW[::-1])
    assert torch.equal(torch.random.get_rng_state(), state), "the run's random numbers must not move"
    with torch.no_grad():
        logits = new(views[0])
        assert logits.shape == (5, len(NEW))
        torch.testing.assert_close(swapped(views[0]), logits.flip(1), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(new.learned()[key], value) for key, value in method.learned().items())


def test_kept_features_give_the_same_logits(name: str, build: Build, views: list[Tensor]) -> None:
    method = build(name)
    with torch.no_grad():
        kept = method(image_features=method.encode_images(views[0]), text_features=method.encode_text())
        assert torch.equal(kept, method(views[0]))


@pytest.mark.parametrize("name", ["coop", "kgcoop", "tcp"])
def test_a_step_on_kept_image_features(name: str, build: Build, views: list[Tensor], labels: Tensor) -> None:
    method = build(name)
    kept = method.step([], labels, image_features=method.encode_images(views[0]))
    assert torch.equal(kept.loss, method.step(views[:1], labels).loss)


def test_learned_tensors_of_another_method_are_refused(name: str, build: Build) -> None:
    method = build(name)
    with pytest.raises(InputError, match=f"not {type(method).__name__}'s learned tensors"):
        method.load_learned({"ctx": torch.zeros(3, 3)})


def test_a_wrong_number_of_base_classes_is_refused(name: str, build: Build) -> None:
    with pytest.raises(InputError, match=r"n_base must lie in 1\.\.4, the number of names, not 5"):
        build(name, BASE, n_base=5)


def test_neither_images_nor_features_are_refused(name: str, build: Build) -> None:
    with pytest.raises(InputError, match="nothing to classify: pass images or image_features"):
        build(name)()


def test_a_function_is_no_model_for_a_method(name: str, build: Build) -> None:
    method = build(name)
    with pytest.raises(InputError, match="a method needs a model and not a function"):
        type(method)(
            lambda texts: torch.ones(len(texts), 32),
            None,
            method.classnames,
            n_base=method.n_base,
            recipe=method.recipe,
            dataset="dtd",
        )


@pytest.mark.parametrize("name", ["maple", "coprompt"])
def test_prompts_deeper_than_the_towers_are_refused(name: str, build: Build) -> None:
    with pytest.raises(InputError, match="depth must be at most 3, the blocks of the smaller tower, not 4"):
        build(name, depth=4)


@pytest.mark.parametrize("name", ["maple", "coprompt"])
def test_more_context_than_words_is_refused(name: str, build: Build) -> None:
    with pytest.raises(InputError, match="n_ctx=5 needs as many words to start from, but ctx_init='a photo"):
        build(name, n_ctx=5)


@pytest.mark.parametrize("block", [0, 3, 8])
def test_a_class_block_outside_the_tower_is_refused(block: int, build: Build) -> None:
    with pytest.raises(InputError, match=f"class_block must lie in 1..2, .*, not {block}"):
        build("tcp", class_block=block)


@pytest.mark.parametrize("name", ["coop", "kgcoop"])
def test_another_number_of_vectors_than_of_words_is_refused(name: str, build: Build) -> None:
    with pytest.raises(InputError, match="n_ctx=16 does not fit ctx_init='a photo of a', which has 4 words"):
        build(name, n_ctx=16)
    assert build(name, n_ctx=16, ctx_init="").ctx.shape[0] == 16


OTHER_VALUES = {
    "n_ctx": "3", "ctx_init": "one of", "class_position": "front", "depth": "2", "class_block": "1",
    "reg_weight": "7.5", "descriptions": "sentences.json",
}  # fmt: skip


@pytest.mark.parametrize("setting", OF_METHODS)
def test_a_setting_that_a_method_does_not_use_is_refused(name: str, setting: str) -> None:
    method, flag = METHODS[name][0], f"--{setting.replace('_', '-')}"
    path = ROOT / "examples" / name / "recipe.toml"
    given = [flag, OTHER_VALUES[setting]]
    if setting in method.uses:
        assert str(getattr(command.parse(method, path, given).recipe, setting)) == OTHER_VALUES[setting]
    else:
        with pytest.raises(
            InputError, match=f"{flag} does not apply to {method.__name__}; its options are --n-ctx"
        ):
            command.parse(method, path, given)
