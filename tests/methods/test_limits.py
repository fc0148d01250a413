"""Where one method becomes another, and what each must be before its first step."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch.nn.functional import normalize

from sar_reg.shapes import Tensor
from tests.methods.conftest import BASE, NOVEL, Build

pytestmark = pytest.mark.filterwarnings("ignore::examples.coprompt.descriptions.DescriptionsMissingWarning")

NAMES = BASE + NOVEL


def rows_at(model: torch.nn.Module, block: int, tokens: Tensor, rows: slice) -> Tensor:
    """The plain model's rows of the first prompt at the input of a text block."""
    seen: list[Tensor] = []
    module = model.transformer.resblocks[block]
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, rows]))
    with torch.no_grad():
        model.encode_text(tokens)
    handle.remove()
    return seen[0]


def sentences(names: Sequence[str]) -> list[str]:
    return [f"a photo of a {name.replace('_', ' ')}." for name in names]


@pytest.mark.parametrize("name", ["coop", "kgcoop", "maple"])
def test_before_training_the_prompt_is_the_sentence(name: str, build: Build) -> None:
    method = build(name, depth=1)
    plain = method.model.encode_text(method.tokenizer(sentences(NAMES)))
    torch.testing.assert_close(method.encode_text(), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dataset", ["caltech101", "stanford_cars", "sun397", "imagenet"])
def test_kgcoop_starts_at_its_teacher(
    dataset: str, build: Build, views: list[Tensor], labels: Tensor
) -> None:
    step = build("kgcoop", dataset=dataset).step(views[:1], labels)
    assert abs(step.terms["reg_text"].item()) < 1e-6


@pytest.mark.parametrize("dataset", ["dtd", "fgvc_aircraft", "oxford_pets"])
def test_kgcoop_with_another_sentence_starts_elsewhere(
    dataset: str, build: Build, views: list[Tensor], labels: Tensor
) -> None:
    step = build("kgcoop", dataset=dataset).step(views[:1], labels)
    assert step.terms["reg_text"].item() > 1e-4


def test_kgcoop_without_weight_is_coop(build: Build, views: list[Tensor], labels: Tensor) -> None:
    coop, kgcoop = build("coop"), build("kgcoop", reg_weight=0.0)
    assert torch.equal(coop.step(views[:1], labels).loss, kgcoop.step(views[:1], labels).loss)


def test_tcp_with_the_contexts_own_rows_is_coop(build: Build) -> None:
    coop, tcp = build("coop"), build("tcp")
    with torch.no_grad():
        tcp.ctx.copy_(coop.ctx)
        own = rows_at(tcp.model, 2, tcp.tokenizer(sentences(NAMES[:1])), slice(1, 5))
        tcp.linear2.weight.zero_()
        tcp.linear2.bias.copy_(own.flatten())
        torch.testing.assert_close(tcp.encode_text(), coop.encode_text(), rtol=1e-4, atol=1e-5)


def test_tcps_tokens_of_one_class_change_that_class_only(build: Build) -> None:
    tcp = build("tcp")
    with torch.no_grad():
        before = tcp.encode_text()
        tcp.teacher[2] = -tcp.teacher[2]
        changed = (tcp.encode_text() - before).abs().amax(dim=1)
    assert changed[2] > 1e-4
    assert changed[torch.arange(len(NAMES)) != 2].max() < 1e-6


def test_tcps_context_acts_through_later_rows(build: Build) -> None:
    tcp = build("tcp")
    (gradient,) = torch.autograd.grad(tcp.encode_text().square().sum(), [tcp.ctx])
    assert gradient.abs().sum() > 0


def test_maple_with_the_shallow_models_rows_is_shallow(build: Build) -> None:
    shallow, deep = build("maple", depth=1), build("maple", depth=3)
    tokens = deep.tokenizer(sentences(NAMES[:1]))
    with torch.no_grad():
        for block, prompt in enumerate(deep.deep_ctx, start=1):
            prompt.copy_(rows_at(deep.model, block, tokens, slice(1, 3)))
        torch.testing.assert_close(deep.encode_text(), shallow.encode_text(), rtol=1e-4, atol=1e-5)


def test_maple_of_depth_one_appends_to_the_patches_only(build: Build, views: list[Tensor]) -> None:
    maple = build("maple", depth=1)
    visual = maple.model.visual
    with torch.no_grad():
        patches = visual.conv1(views[0]).flatten(2).transpose(1, 2)
        first = visual.class_embedding.expand(len(patches), 1, -1)
        x = torch.cat([first, patches], dim=1) + visual.positional_embedding
        x = torch.cat([x, maple.proj(maple.ctx).expand(len(patches), -1, -1)], dim=1)
        for block in visual.transformer.resblocks:
            x = block(visual.ln_pre(x)) if block is visual.transformer.resblocks[0] else block(x)
        expected = visual.ln_post(x)[:, 0] @ visual.proj
        torch.testing.assert_close(maple.encode_images(views[0]), expected, rtol=1e-4, atol=1e-5)


def test_maples_deep_projections_start_as_copies_of_one(build: Build) -> None:
    maple = build("maple")
    assert torch.equal(maple.deep_proj[0].weight, maple.deep_proj[1].weight)
    assert not torch.equal(maple.deep_proj[0].weight, maple.proj.weight)
    assert maple.deep_proj[0].weight.data_ptr() != maple.deep_proj[1].weight.data_ptr()


def test_coprompt_with_silent_adapters_classifies_as_maple(build: Build, views: list[Tensor]) -> None:
    maple, coprompt = build("maple"), build("coprompt")
    with torch.no_grad():
        coprompt.adapter_image.up.weight.zero_()
        coprompt.adapter_text.up.weight.zero_()
        coprompt.load_learned({**coprompt.learned(), **maple.learned()})
        torch.testing.assert_close(coprompt.encode_images(views[0]), 0.9 * maple.encode_images(views[0]))
        torch.testing.assert_close(coprompt.encode_text(), 0.8 * maple.encode_text())
        torch.testing.assert_close(coprompt(views[0]), maple(views[0]), rtol=1e-4, atol=1e-4)


def test_coprompts_second_view_reaches_the_image_teacher_alone(
    build: Build, views: list[Tensor], labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.randrange", lambda n: 0)
    method = build("coprompt")
    one, other = method.step(views, labels), method.step([views[0], -views[1]], labels)
    assert torch.equal(one.terms["ce"], other.terms["ce"])
    assert torch.equal(one.terms["reg_text"], other.terms["reg_text"])
    assert (one.terms["reg_image"] - other.terms["reg_image"]).abs() > 1e-4


def test_coprompt_draws_one_description_for_all_classes(
    build: Build, views: list[Tensor], labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = build("coprompt")
    for index in (0, 7):
        monkeypatch.setattr("random.randrange", lambda n, index=index: index)
        step = method.step(views, labels)
        cosines = (normalize(step.text_features[: len(BASE)]) * method.description_bank[index]).sum(1)
        torch.testing.assert_close(step.terms["reg_text"], 1 - cosines.mean(), rtol=1e-5, atol=1e-6)
