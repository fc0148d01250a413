"""Image features with learnable tokens appended to the patches, as MaPLe and CoPrompt use them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

import torch

from sar_reg.errors import InputError
from sar_reg.prompting.learned import check_vectors, several
from sar_reg.prompting.towers import frozen_twins
from sar_reg.prompting.towers.watch import altered
from sar_reg.prompting.verify import differs
from sar_reg.shapes import Float, Tensor


class ImagePromptEncoder:
    """The frozen image side of an open_clip CLIP with room for learnable tokens.

    Tokens stand after the patches, without positional vector, and pass through `ln_pre` with them; deep ones
    replace them at the input of later blocks. The weights get no gradient; mode and flags stay.

    Args:
        model: an open_clip `CLIP` or `CustomTextCLIP` whose `visual` is a `VisionTransformer`.

    Raises:
        InputError: if the image side is something else, or does more than its blocks.
    """

    def __init__(self, model: Any) -> None:
        visual = getattr(model, "visual", None)
        parts = ("conv1", "class_embedding", "positional_embedding", "ln_pre", "transformer", "_pool")
        if visual is None or not all(hasattr(visual, part) for part in parts):
            raise InputError(
                f"image prompts need an open_clip model with a VisionTransformer as .visual; "
                f"{type(model).__name__} has {type(visual).__name__}"
            )
        self._visual = visual
        self._compare()

    @property
    def width(self) -> int:
        """Width of the image tokens."""
        return self._visual.class_embedding.shape[0]

    @property
    def n_blocks(self) -> int:
        """Number of transformer blocks; deep prompts enter all but the first."""
        return len(self._visual.transformer.resblocks)

    def __call__(
        self,
        images: Float[Tensor, "batch 3 height width"],
        prompts: Float[Tensor, "tokens v_width"] | None = None,
        deep: Sequence[Float[Tensor, "tokens v_width"]] | None = None,
    ) -> Float[Tensor, "batch features"]:
        """Image features, not normalised, with gradients to the prompts.

        Args:
            images: preprocessed images.
            prompts: tokens appended to the patches; None calls `model.encode_image`.
            deep: the b-th (from 1) replaces the appended tokens at the input of block b.

        Raises:
            InputError: if types, shapes or devices do not fit, or deep prompts come without prompts.
        """
        visual: Any = self._visual
        deep = several(deep)
        self._check_images(images)
        if any(weight.requires_grad for weight in visual.parameters()):
            visual = frozen_twins(visual)[visual]
        images = images.to(visual.conv1.weight.dtype)
        if prompts is None:
            if deep:
                raise InputError("deep image prompts replace prompts: pass prompts as well")
            return _own(visual, images)
        changed = altered((self._visual, self._visual.transformer), foreign=True)
        if changed:
            _refuse(changed)
        self._check(prompts, deep, len(visual.transformer.resblocks))
        return _with_prompts(visual, images, prompts, deep)

    @torch.no_grad()
    def _compare(self) -> None:
        """Hold the blocks, put together without prompts, to the model's own encoding of noise."""
        visual: Any = self._visual
        weight: Tensor = visual.conv1.weight
        size = visual.image_size if isinstance(visual.image_size, tuple) else (visual.image_size,) * 2
        noise = torch.randn(
            1, visual.conv1.in_channels, *size, generator=torch.Generator("cpu").manual_seed(0), device="cpu"
        )
        nothing = weight.new_empty(0, self.width)
        found: list[Tensor] = []
        try:
            for encode in (_own, partial(_with_prompts, prompts=nothing, deep=())):
                # patches may be dropped at random: the same ones, because each fork begins at the same state
                forked = torch.random.fork_rng([weight.device] if weight.is_cuda else [])
                with forked, torch.autocast(weight.device.type, enabled=False):
                    found.append(encode(visual, noise.to(weight)).cpu())
        except RuntimeError as error:
            raise InputError(f"the model's image side cannot encode images itself: {error}") from error
        if differs(found[1], found[0], weight.dtype):
            _refuse("its features differ from those of its blocks")

    def _check_images(self, images: object) -> None:
        conv: Any = self._visual.conv1
        size = getattr(self._visual, "image_size", ("height", "width"))
        shape = "batch", conv.in_channels, *size
        advice = "use the model's preprocessing"
        check_vectors("images", images, (shape,), conv.weight.device, f"; {advice}", advice)

    def _check(self, prompts: Tensor, deep: Sequence[Tensor], blocks: int) -> None:
        device = self._visual.conv1.weight.device
        check_vectors("prompts", prompts, (("tokens", self.width),), device)
        if not len(prompts):
            raise InputError("prompts must hold at least one token; without any, leave prompts out")
        if len(deep) >= blocks:
            raise InputError(
                f"deep image prompts enter the blocks after the first, of which there are {blocks - 1}; "
                f"got {len(deep)}"
            )
        for number, rows in enumerate(deep):
            check_vectors(f"deep[{number}]", rows, (tuple(prompts.shape),), device)


def _refuse(why: str) -> NoReturn:
    raise InputError(
        f"image prompts need open_clip's own image side, and the model was changed: {why}; use the unchanged model"
    )


def _own(visual: Any, images: Tensor) -> Float[Tensor, "batch features"]:
    features = visual(images)
    return features[0] if isinstance(features, tuple) else features


def _with_prompts(
    visual: Any, images: Tensor, prompts: Tensor, deep: Sequence[Tensor]
) -> Float[Tensor, "batch features"]:
    x = _patches(visual, images)
    kept = x.shape[1]
    x = torch.cat([x, prompts.to(x.dtype).expand(len(x), -1, -1)], dim=1)
    x = visual.ln_pre(x)
    for number, block in enumerate(visual.transformer.resblocks):
        if 1 <= number <= len(deep):
            new = deep[number - 1].to(x.dtype).expand(len(x), -1, -1)
            x = torch.cat([x[:, :kept], new], dim=1)
        x = block(x)
    pooled, _ = visual._pool(x[:, :kept])
    return pooled if visual.proj is None else pooled @ visual.proj


def _patches(visual: Any, images: Tensor) -> Float[Tensor, "batch rows v_width"]:
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    start = visual.class_embedding.to(x.dtype).expand(len(x), 1, -1)
    x = torch.cat([start, x], dim=1) + visual.positional_embedding.to(x.dtype)
    return visual.patch_dropout(x)
