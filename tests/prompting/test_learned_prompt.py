"""A learned context kept in a file: the same answers after loading, and refusals in words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn.functional import normalize

import sar_reg
from sar_reg import LearnedPrompt, PromptEncoder
from sar_reg.errors import InputError
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
    with pytest.raises(InputError, match="must be JSON values"):
        LearnedPrompt(encoder, context, made={"model": object()})


def test_it_is_public() -> None:
    assert sar_reg.LearnedPrompt is LearnedPrompt
