"""Frozen features of templates."""

from __future__ import annotations

import re
import sys
from typing import Any

import open_clip
import pytest
import torch
from torch.nn import functional

from sar_reg.bank import encode_templates
from sar_reg.errors import InputError
from sar_reg.prompting import text_tower
from tests.prompting.models import NAMES, clip

TEMPLATES = ("a photo of a {}.", "{} texture.", "art of the {}, a type of pet.")


def _average_of_plain_features(model: Any) -> torch.Tensor:
    units: list[torch.Tensor] = []
    for template in TEMPLATES:
        sentences = [template.format(name.replace("_", " ")) for name in NAMES]
        units.append(functional.normalize(model.encode_text(open_clip.tokenize(sentences)), dim=-1))
    return functional.normalize(torch.stack(units).mean(dim=0), dim=-1)


@pytest.mark.parametrize("batch_size", [1, 4, 256, 10**30])
def test_equal_to_averaging_the_models_own_features(model: Any, batch_size: int) -> None:
    found = encode_templates(text_tower(model), NAMES, TEMPLATES, batch_size=batch_size)

    assert found.dtype == torch.float32
    assert not found.requires_grad
    torch.testing.assert_close(found.double(), _average_of_plain_features(model), atol=1e-6, rtol=0)


@pytest.mark.parametrize("settings", [{"no_causal_mask": True}, {"pool_type": "last"}])
def test_a_tower_that_cannot_share_is_encoded_in_full(settings: dict[str, Any]) -> None:
    model = clip(custom=True, **settings)
    tower = text_tower(model)

    assert not tower.shareable
    found = encode_templates(tower, NAMES, TEMPLATES, batch_size=4)
    torch.testing.assert_close(found.double(), _average_of_plain_features(model), atol=1e-6, rtol=0)


def test_a_function_is_enough(model: Any) -> None:
    calls: list[int] = []

    def encode(texts: list[str]) -> torch.Tensor:
        calls.append(len(texts))
        return model.encode_text(open_clip.tokenize(texts))

    tower = text_tower(encode)
    found = encode_templates(tower, NAMES, TEMPLATES, batch_size=4)

    torch.testing.assert_close(found.double(), _average_of_plain_features(model), atol=1e-6, rtol=0)
    assert max(calls[1:]) == 4


@pytest.mark.parametrize(
    ("names", "templates", "message"),
    [
        (
            NAMES,
            ["a photo."],
            "the template 'a photo.' must contain '{}' exactly once",
        ),
        (
            NAMES,
            ["{} or {}"],
            "the template '{} or {}' must contain '{}' exactly once",
        ),
        ([], TEMPLATES, "classnames is empty; pass at least one class name"),
        (NAMES, [], "templates is empty; pass at least one template"),
    ],
)
def test_mistakes(model: Any, names: Any, templates: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        encode_templates(text_tower(model), names, templates)


def test_a_sentence_too_long_is_named(model: Any) -> None:
    long = "word " * 80
    with pytest.raises(
        InputError, match=r"^the text \"a photo of a word word .* needs at least 87 tokens, the model"
    ):
        encode_templates(text_tower(model), ["cat", long], ["a photo of a {}."])


def test_a_function_that_returns_something_else() -> None:
    message = r"^encode\(texts\) must return a tensor of shape \(6, D\) for 6 texts; it returned \(1, 3\)$"
    with pytest.raises(InputError, match=message):
        text_tower(lambda texts: torch.zeros(1, 3))
    with pytest.raises(InputError, match=r"it returned list$"):
        text_tower(lambda texts: [0.0])


def test_progress_counts_prompts_on_terminals_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = text_tower(clip())
    for terminal, wanted, lines in ((False, True, 0), (True, False, 0), (True, True, 3)):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        encode_templates(tower, NAMES, ["a {}.", "the {}."], progress=wanted)
        shown = capsys.readouterr().err
        assert shown.count("\rprompts [") == lines
    assert f"{len(NAMES)}/{2 * len(NAMES)}" in shown
    assert f"{2 * len(NAMES)}/{2 * len(NAMES)}" in shown
    assert shown.endswith("/s \n")
