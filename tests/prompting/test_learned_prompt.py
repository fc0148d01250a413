"""A learned context kept in a file: the same answers after loading, and refusals in words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn.functional import normalize

import sar_reg
from sar_reg import LearnedPrompt, PromptEncoder
from sar_reg.errors import InputError
from sar_reg.prompting.learned_prompt import _FILE
from tests.prompting.models import clip

NAMES = ["golden_retriever", "cat", "sea lion"]


def learned(model, **template: str) -> LearnedPrompt:
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4, **template)
    context = encoder.random_context(generator=torch.Generator().manual_seed(0))
    return LearnedPrompt(encoder, context, classnames=NAMES[:2], model="small", lam=0.5, made={"seed": 1})


@pytest.mark.parametrize(
    "template",
    [
        {},
        {"infix": "of a", "suffix": ", a type of pet."},
        {"class_position": "middle"},
        {"class_position": "front"},
    ],
)
def test_the_file_gives_the_same_classifier(template: dict[str, str], tmp_path: Path) -> None:
    model = clip(dtype=torch.float32)
    prompt = learned(model, **template)
    other = ["lynx", "cat"]
    expected = PromptEncoder(model, None, other, n_ctx=4, **template).encode_plain(prompt.context)
    loaded = LearnedPrompt.load(prompt.save(tmp_path / "pets.safetensors"), model)
    rows = loaded.classifier(other)
    assert torch.equal(rows, prompt.classifier(other))
    torch.testing.assert_close(rows, normalize(expected.detach(), dim=1), rtol=1e-4, atol=1e-5)
    assert not rows.requires_grad
    for name in (
        "classnames",
        "n_ctx",
        "infix",
        "suffix",
        "class_position",
        "model",
        "lam",
        "made",
        "fingerprint",
    ):
        assert getattr(loaded, name) == getattr(prompt, name), name
    assert loaded.classnames == tuple(NAMES[:2])
    assert repr(loaded) == repr(prompt)
    assert "trained on 2 classes, " in repr(loaded)
    one = PromptEncoder(model, None, NAMES[:1], n_ctx=4, **template)
    assert "trained on 1 class)" in repr(LearnedPrompt(one, one.random_context()))


def test_training_can_go_on_from_the_file(tmp_path: Path) -> None:
    model = clip(dtype=torch.float32)
    loaded = LearnedPrompt.load(learned(model).save(tmp_path / "a.safetensors"), model)
    context = torch.nn.Parameter(loaded.context)
    loaded.encoder(["lynx"])(context).sum().backward()
    assert context.grad is not None
    assert context.grad.abs().sum() > 0


def test_the_header_is_readable_without_the_package(tmp_path: Path) -> None:
    path = learned(clip(dtype=torch.float32)).save(tmp_path / "a.safetensors")
    with safe_open(path, framework="np") as file:
        about = file.metadata()["prompt"]
        assert file.get_tensor("ctx").shape[0] == 4
    for word in (
        "golden_retriever",
        '"lam": 0.5',
        '"model": "small"',
        '"class_position": "end"',
        '"seed": 1',
    ):
        assert word in about


def test_other_weights_are_refused(tmp_path: Path) -> None:
    model = clip(dtype=torch.float32)
    path = learned(model).save(tmp_path / "a.safetensors")
    with torch.no_grad():
        model.token_embedding.weight[0, 0] += 1
    with pytest.raises(
        InputError, match=r"was trained with other weights \(small, fingerprint .*load the model it"
    ):
        LearnedPrompt.load(path, model)


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    model = clip(dtype=torch.float32)
    with pytest.raises(FileNotFoundError, match="there is no learned prompt at"):
        LearnedPrompt.load(tmp_path / "nowhere", model)
    save_file({"ctx": torch.zeros(4, 8)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="is not a learned prompt"):
        LearnedPrompt.load(tmp_path / "other.safetensors", model)
    path = learned(model).save(tmp_path / "a.safetensors")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is damaged \(its checksum does not match"):
        LearnedPrompt.load(path, model)
    path.write_bytes(content[:50])
    with pytest.raises(InputError, match="is damaged or not a learned prompt"):
        LearnedPrompt.load(path, model)
    with pytest.raises(InputError, match="needs the model it was trained with, not a function"):
        LearnedPrompt.load(learned(model).save(tmp_path / "b"), lambda texts: torch.zeros(len(texts), 4))


def test_contexts_that_cannot_be_kept() -> None:
    encoder = PromptEncoder(clip(dtype=torch.float32), None, NAMES, n_ctx=4)
    context = encoder.random_context()
    with pytest.raises(InputError, match="class-specific contexts cannot be used for other names"):
        LearnedPrompt(encoder, context.expand(3, -1, -1))
    with pytest.raises(InputError, match="NaN or infinity; train again"):
        LearnedPrompt(encoder, context * float("nan"))
    with pytest.raises(InputError, match="classnames must be a list of class names, not one string"):
        LearnedPrompt(encoder, context, classnames="cat")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="made must be a dict of JSON values"):
        LearnedPrompt(encoder, context, made={"model": object()})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"context": [1, 2]}, "context must have shape (4, 32), not list; all classes share it"),
        ({"context": torch.zeros(4, 32).long()}, "context must be floating point, not torch.int64"),
        ({"encoder": 5}, "encoder must be a PromptEncoder, not int"),
        ({"classnames": []}, "classnames is empty; pass at least one class name"),
        ({"classnames": ["cat", " "]}, "classnames[1] is ' ', which is empty"),
        ({"classnames": [1]}, "classnames[0] is 1, not a string"),
        ({"lam": "0.1"}, "lam must be a finite number of 0 or more, or None, not '0.1'"),
        ({"lam": -1}, "lam must be a finite number of 0 or more, or None, not -1"),
        ({"lam": float("nan")}, "lam must be a finite number of 0 or more, or None, not nan"),
        ({"lam": True}, "lam must be a finite number of 0 or more, or None, not True"),
        ({"model": None}, "model must be a name for people, such as ViT-B-16, not NoneType"),
        ({"made": [1, 2]}, "made must be a dict of JSON values"),
        ({"made": {"loss": float("inf")}}, "made must be a dict of JSON values"),
    ],
)
def test_arguments_of_another_kind(arguments: dict[str, Any], message: str) -> None:
    encoder = PromptEncoder(clip(dtype=torch.float32), None, NAMES, n_ctx=4)
    given = {"encoder": encoder, "context": encoder.random_context()} | arguments
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        LearnedPrompt(**given)


def test_numpy_values_are_kept_as_plain_ones(tmp_path: Path) -> None:
    model = clip(dtype=torch.float32)
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    given = {"lam": np.float32(0.5), "made": {"seed": np.int64(3), "steps": (1, 2)}}
    prompt = LearnedPrompt(encoder, encoder.random_context(), **given)
    loaded = LearnedPrompt.load(prompt.save(tmp_path / "a"), model)
    for one in (prompt, loaded):
        assert (one.lam, one.made) == (0.5, {"seed": 3, "steps": [1, 2]})
        assert "lam=0.5" in repr(one)


@pytest.mark.parametrize("error", [TypeError, KeyError])
def test_an_error_of_the_tokenizer_is_not_damage(error: type[Exception], tmp_path: Path) -> None:
    model = clip(dtype=torch.float32)
    path = learned(model).save(tmp_path / "a.safetensors")

    def tokenizer(texts: list[str]) -> torch.Tensor:
        raise error("the tokenizer's own")

    with pytest.raises(error, match="the tokenizer's own"):
        LearnedPrompt.load(path, model, tokenizer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": 5}, "fingerprint is 5"),
        ({"made": [1]}, r"made is \[1\]"),
        ({"lam": "x"}, "lam is 'x'"),
        ({"template": 5}, "template is 5"),
        ({"template": {"infix": "", "suffix": "."}}, "'class_position'"),
        (
            {"template": {"infix": "", "suffix": ".", "class_position": "end", "prefix": "a"}},
            "prefix is not a field of this version",
        ),
        ({"template": {"infix": 3, "suffix": ".", "class_position": "end"}}, "infix is 3"),
    ],
)
def test_header_values_of_another_type_are_damage(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    model = clip(dtype=torch.float32)
    path = learned(model).save(tmp_path / "a.safetensors")
    about, context = _FILE.read(path)
    _FILE.save(path, json.dumps(about | change), context)
    with pytest.raises(InputError, match=rf"is damaged or not a learned prompt \({message}\); copy or train"):
        LearnedPrompt.load(path, model)


def test_it_is_public() -> None:
    assert sar_reg.LearnedPrompt is LearnedPrompt
