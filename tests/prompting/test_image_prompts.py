"""Learnable tokens on the image side."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from open_clip.transformer import PatchDropout

from sar_reg.errors import InputError
from sar_reg.prompting import ImagePromptEncoder
from tests.prompting.models import clip, learnable
from tests.prompting.official import pulled

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _official(model: Any, prompts: torch.Tensor, deep: list[torch.Tensor]) -> torch.Tensor:
    """Tokens after the patches, before `ln_pre`, and their replacement at the input of later blocks."""
    visual, n = model.visual, len(prompts)
    x = visual.conv1(IMAGES).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1) + visual.positional_embedding
    x = visual.ln_pre(torch.cat([x, prompts.expand(len(x), -1, -1)], dim=1))
    for number, block in enumerate(visual.transformer.resblocks):
        if 1 <= number <= len(deep):
            x = torch.cat([x[:, :-n], deep[number - 1].expand(len(x), -1, -1)], dim=1)
        x = block(x)
    return visual.ln_post(x[:, 0]) @ visual.proj


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_features_and_gradients(model: Any, depth: int) -> None:
    prompts, deep = learnable(2, 48), [learnable(2, 48, seed=number) for number in range(depth)]

    found = pulled(ImagePromptEncoder(model)(IMAGES, prompts, deep), prompts, *deep)

    for a, b in zip(found, pulled(_official(model, prompts, deep), prompts, *deep), strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def test_without_prompts_it_is_encode_image(model: Any) -> None:
    torch.testing.assert_close(
        ImagePromptEncoder(model)(IMAGES), model.encode_image(IMAGES), atol=1e-12, rtol=0
    )


def test_no_gradient_reaches_the_weights() -> None:
    model = clip()
    (ImagePromptEncoder(model)(IMAGES, learnable(2, 48)).sum()).backward()
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, [torch.zeros(2, 48)]), "deep image prompts replace prompts: pass prompts as well"),
        ((torch.zeros(2, 32),), "prompts must have shape (tokens, 48), not (2, 32)"),
        (
            (torch.zeros(2, 48), [torch.zeros(1, 48)]),
            "deep[0] must have shape (2, 48), not (1, 48)",
        ),
        (
            (torch.zeros(2, 48), [torch.zeros(2, 48)] * 3),
            "deep image prompts enter the blocks after the first, of which there are 2; got 3",
        ),
        ((torch.zeros(0, 48),), "prompts must hold at least one token; without any, leave prompts out"),
        (([1],), "prompts must have shape (tokens, 48), not list"),
        (
            (torch.zeros(2, 48).long(),),
            "prompts must be floating point, not torch.int64; convert with .float()",
        ),
        (
            (torch.zeros(2, 48, device="meta"),),
            "prompts must be on the model's device cpu, not on meta; move one of them with .to(...)",
        ),
        ((torch.zeros(2, 48), [1]), "deep[0] must have shape (2, 48), not int"),
        ((torch.zeros(2, 48), 5), "deep must be a list of tensors, one for each block, not int"),
    ],
)
def test_mistakes(model: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        ImagePromptEncoder(model)(IMAGES, *arguments)


@pytest.mark.parametrize("prompts", [None, torch.zeros(2, 48)])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (5, "images must have shape (batch, 3, 32, 32), not int; use the model's preprocessing"),
        (
            IMAGES[0],
            "images must have shape (batch, 3, 32, 32), not (3, 32, 32); use the model's preprocessing",
        ),
        (
            IMAGES[..., :24],
            "images must have shape (batch, 3, 32, 32), not (3, 3, 32, 24); use the model's preprocessing",
        ),
        (
            IMAGES[:, :1],
            "images must have shape (batch, 3, 32, 32), not (3, 1, 32, 32); use the model's preprocessing",
        ),
        (
            (IMAGES * 255).byte(),
            "images must be floating point, not torch.uint8; use the model's preprocessing",
        ),
        (
            IMAGES.to("meta"),
            "images must be on the model's device cpu, not on meta; move one of them with .to(...)",
        ),
    ],
)
def test_images_that_do_not_fit(model: Any, images: Any, prompts: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        ImagePromptEncoder(model)(images, prompts)


def test_other_image_sides_are_refused() -> None:
    message = "image prompts need an open_clip model with a VisionTransformer as .visual; Linear has NoneType"
    with pytest.raises(InputError, match=re.escape(message)):
        ImagePromptEncoder(torch.nn.Linear(1, 1))


def _double(model: Any, part: str) -> None:
    model.get_submodule(part).register_forward_hook(lambda module, args, out: out * 2)


def _patch(model: Any, part: str) -> None:
    forward = model.get_submodule(part).forward
    model.get_submodule(part).forward = lambda *args, **kwargs: forward(*args, **kwargs) * 2


@pytest.mark.parametrize("part", ["visual", "visual.transformer"])
@pytest.mark.parametrize("change", [_double, _patch])
def test_an_image_side_that_does_more_than_its_blocks_is_refused(change: Any, part: str) -> None:
    before, after = clip(), clip()
    change(before, part)
    message = "^image prompts need open_clip's own image side, and the model was changed: "
    with pytest.raises(InputError, match=message + "its features differ from those of its blocks; use the "):
        ImagePromptEncoder(before)
    encode = ImagePromptEncoder(after)
    change(after, part)
    torch.testing.assert_close(encode(IMAGES), after.encode_image(IMAGES))
    with pytest.raises(
        InputError, match=message + r"\w+( has hooks|\.forward was replaced); use the unchanged"
    ):
        encode(IMAGES, learnable(2, 48))


def test_hooks_on_what_is_called_count() -> None:
    model = clip()
    _double(model, "visual.conv1")
    prompts = learnable(2, 48)
    plain = ImagePromptEncoder(clip())(IMAGES, prompts)
    found = ImagePromptEncoder(model)(IMAGES, prompts)
    assert (found - plain).abs().max() > 0.01


def test_an_image_side_that_cannot_encode_is_refused() -> None:
    with pytest.raises(InputError, match=r"^the model's image side cannot encode images itself: "):
        ImagePromptEncoder(clip().to("meta"))


def test_patches_dropped_at_random_are_no_change_and_the_generator_stays() -> None:
    model = clip()
    model.visual.patch_dropout = PatchDropout(0.5)
    model.train()
    before = torch.get_rng_state()
    ImagePromptEncoder(model)
    assert torch.equal(torch.get_rng_state(), before)
