"""Models that learnable prompts cannot go through are refused, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import open_clip
import pytest
import torch
from torch import nn

from sar_reg import PromptEncoder
from sar_reg.bank import encode_templates
from sar_reg.errors import InputError
from sar_reg.prompting import text_tower
from tests.prompting.models import NAMES, WIDTH, clip


def test_adapters_with_prompts_of_their_own_are_refused() -> None:
    class PeftModel(nn.Module):
        peft_config: ClassVar = {"default": SimpleNamespace(is_prompt_learning=True)}

        def get_base_model(self) -> nn.Module:
            return clip()

    with pytest.raises(InputError, match=r"^PeftModel adds its own prompts to the model: pass the model "):
        PromptEncoder(PeftModel(), open_clip.tokenize, NAMES, n_ctx=4)


def test_a_model_that_prompts_do_not_reach_is_refused() -> None:
    model = clip()
    table = model.token_embedding.weight

    def around_the_embedding(tokens: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(tokens, table)[:, 1:6].mean(dim=1) @ torch.ones(
            WIDTH, 16, dtype=torch.float64
        )

    model.encode_text = around_the_embedding
    with pytest.raises(InputError, match=r"^learnable prompts do not reach this model \(open_clip CLIP\): "):
        PromptEncoder(model, None, NAMES, n_ctx=4)


UNUSABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "meta": (lambda: clip().to("meta"), r"^the model has no weights yet \(positional_embedding is empty\)"),
    "mask on meta": (
        lambda: _with_mask(clip()),
        r"^the model has no weights yet \(attn_mask is empty\): load them before it is used here$",
    ),
    "not finite": (lambda: clip().apply(_spoil), "^the model's own text features are not finite: "),
    "TorchScript": (
        lambda: torch.jit.trace(
            clip(), (torch.zeros(1, 3, 32, 32).double(), open_clip.tokenize("a")), check_trace=False
        ),
        "^the model is TorchScript, which cannot be looked into: load it with jit=False",
    ),
    "made under inference mode": (
        lambda: _under_inference_mode(),
        r"^the model was made under torch\.inference_mode",
    ),
    "class embedding in a CLIP": (
        lambda: clip(embed_cls=True),
        r"^the model cannot encode text itself: its own path ends in RuntimeError: ",
    ),
    "quantised by torch": (
        lambda: torch.ao.quantization.quantize_dynamic(clip(dtype=torch.float32), {nn.Linear}),
        r"^the model is quantised \(transformer\.resblocks\.0\.mlp\.c_fc is a Linear\): load it",
    ),
    "integer weights": (
        lambda: _with_integer_weight(clip()),
        r"^the model is quantised \(token_embedding\.weight is torch\.int8\): load it in floating point$",
    ),
}


def _with_mask(model: Any) -> Any:
    model.attn_mask = model.attn_mask.to("meta")
    return model


def _spoil(module: nn.Module) -> None:
    if isinstance(module, nn.Embedding):
        module.weight.data.fill_(float("nan"))


def _under_inference_mode() -> Any:
    with torch.inference_mode():
        return clip()


def _with_integer_weight(model: Any) -> Any:
    model.token_embedding.weight = nn.Parameter(
        torch.zeros(49408, WIDTH, dtype=torch.int8), requires_grad=False
    )
    return model


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.filterwarnings("ignore")
def test_models_that_cannot_be_used_are_refused_in_words(kind: str) -> None:
    make, message = UNUSABLE[kind]
    model = make()
    with pytest.raises(InputError, match=message):
        PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4)
    with pytest.raises(InputError, match=message):
        encode_templates(text_tower(model, open_clip.tokenize), NAMES, ["a photo of a {}."])


def test_deep_prompts_need_blocks_that_are_used_once() -> None:
    model = clip()
    blocks = model.transformer.resblocks
    blocks[2] = blocks[1]
    encoder, context = PromptEncoder(model, None, NAMES, n_ctx=4), torch.zeros(4, WIDTH)
    torch.testing.assert_close(encoder(context), encoder.encode_plain(context), atol=1e-10, rtol=1e-10)
    for call in (encoder, encoder.encode_plain):
        with pytest.raises(InputError, match=r"^deep prompts and class tokens need a tower that uses each "):
            call(context, [context])
