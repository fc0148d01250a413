"""The tokenizer that is given is the tokenizer that is used, and what it would cut is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.tokenizer import HFTokenizer

from sar_reg import PromptEncoder
from sar_reg.bank import encode_templates
from sar_reg.errors import InputError
from sar_reg.prompting import text_tower
from tests.prompting import huggingface_model, local_tokenizers
from tests.prompting.models import NAMES, clip

LENGTH = 12


def _tokenizer(kind: str, root: Path, **options: Any) -> Any:
    return HFTokenizer(str(local_tokenizers.folder(kind, root)), context_length=LENGTH, **options)


def _tower(tokenizer: Any) -> Any:
    model = clip(custom=True, context_length=LENGTH, vocab_size=128, no_causal_mask=True, pool_type="last")
    return text_tower(model, tokenizer)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("siglip", {"clean": "canonicalize"}),
        ("bert", {"strip_sep_token": True}),
        ("xlm", {"clean": "lower"}),
    ],
)
def test_options_of_the_given_tokenizer_hold(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = _tokenizer(kind, tmp_path, **options)
    texts = ["A photo of a Cat.", "the yellow_lady's slipper"]
    assert torch.equal(_tower(tokenizer).tokenize(texts), tokenizer(texts))
    assert not torch.equal(tokenizer(texts), _tokenizer(kind, tmp_path)(texts))


@pytest.mark.parametrize("kind", local_tokenizers.KINDS)
@pytest.mark.parametrize("how", ["chosen width", "fixed width", "transformers"])
def test_a_text_one_token_too_long_is_refused_whatever_pads(kind: str, how: str, tmp_path: Path) -> None:
    wrapped = _tokenizer(kind, tmp_path)
    tokenizer = {
        "chosen width": wrapped,
        "fixed width": lambda texts: wrapped(texts),
        "transformers": wrapped.tokenizer,
    }[how]
    special = len(wrapped.tokenizer("")["input_ids"])
    tower = _tower(tokenizer)
    room = LENGTH - special
    fits = " ".join(["cat"] * (room - (how == "fixed width")))
    assert torch.equal(tower.tokenize([fits]), wrapped([fits]))
    too_long = " ".join(["cat"] * (room + 1))
    with pytest.raises(
        InputError, match=r"^the text \"(cat ?)+\" (does not fit|fills all 12 places and may have been cut)"
    ):
        tower.tokenize(["cat", too_long])


def test_text_that_openai_would_refuse_is_refused_in_our_words() -> None:
    def tokenize(texts: list[str], context_length: int = 77) -> torch.Tensor:
        for text in texts:
            if len(text.split()) > context_length - 2:
                raise RuntimeError(f"Input {text} is too long for context length {context_length}")
        return open_clip.tokenize(texts, context_length=context_length)

    tower = text_tower(clip(), tokenize)
    assert torch.equal(tower.tokenize(["cat", "dog"]), open_clip.tokenize(["cat", "dog"]))
    for words in (80, 400):
        with pytest.raises(
            InputError, match=r"does not fit: it needs at least \d+ tokens, the model reads 77; shorten"
        ):
            tower.tokenize(["cat", "word " * words])


@pytest.mark.parametrize("n_ctx", [1, 4])
@pytest.mark.parametrize("kind", ["siglip", "siglip2", "mt5", "roberta", "xlm"])
def test_the_context_begins_where_the_placeholders_begin(kind: str, n_ctx: int, tmp_path: Path) -> None:
    tokenizer = _tokenizer(kind, tmp_path)
    model = clip(custom=True, context_length=LENGTH, vocab_size=128, no_causal_mask=True, pool_type="last")
    names = ["golden retriever", "cat"]
    encoder = PromptEncoder(model, tokenizer, names, n_ctx=n_ctx, suffix="")
    words = " ".join("a photo of a".split()[:n_ctx])
    context = encoder.context_from_words(words)
    own = model.encode_text(tokenizer([f"{words} {name}" for name in names]))
    # the context is float32
    torch.testing.assert_close(encoder(context), own, atol=1e-5, rtol=1e-5)


def test_padding_on_the_left_is_refused(tmp_path: Path) -> None:
    tokenizer = local_tokenizers.build("mt5")
    tokenizer.padding_side = "left"
    model = clip(custom=True, context_length=LENGTH, vocab_size=128, no_causal_mask=True, pool_type="last")
    with pytest.raises(InputError, match='make one token of each placeholder "X" and pad on the right; '):
        PromptEncoder(model, tokenizer, ["cat", "golden retriever"], n_ctx=2)


def test_float64_is_asked_of_the_cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    # a tensor that says it lies on such a device: `.cpu()` alone brings it to where float64 exists
    model = clip(dtype=torch.float32)
    tower = text_tower(model)
    moved: list[torch.Tensor] = []
    cpu, double = torch.Tensor.cpu, torch.Tensor.double

    def to_cpu(x: torch.Tensor) -> torch.Tensor:
        moved.append(copy := cpu(x).clone())
        return copy

    def to_double(x: torch.Tensor) -> torch.Tensor:
        assert any(x is known for known in moved), "float64 on the device"
        return double(x)

    monkeypatch.setattr(torch.Tensor, "cpu", to_cpu)
    monkeypatch.setattr(torch.Tensor, "double", to_double)
    assert tower.temperature == pytest.approx(0.07)
    assert len(tower.fingerprint()) == 64
    text_tower(lambda texts: torch.eye(len(texts), 3) + 1).fingerprint()
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    assert encoder(encoder.random_context()).shape == (len(NAMES), 16)
    assert moved


def test_the_temperature_follows_the_scale_however_it_is_changed() -> None:
    model = clip(dtype=torch.float32)
    tower = text_tower(model)
    assert tower.temperature == pytest.approx(0.07)
    with torch.no_grad():
        model.logit_scale.fill_(0)
    assert tower.temperature == 1
    model.logit_scale.data.fill_(torch.tensor(0.5).log())
    assert tower.temperature == pytest.approx(2)


def _with_id(number: int) -> Any:
    """CLIP's tokenizer with another id for "cat"."""
    cat = open_clip.tokenize("cat")[0, 1]
    return lambda texts, context_length=77: open_clip.tokenize(texts, context_length).masked_fill(
        open_clip.tokenize(texts, context_length) == cat, number
    )


@pytest.mark.parametrize("number", [-3, 60000])
def test_an_id_that_the_model_does_not_know_is_refused(number: int) -> None:
    tower = text_tower(clip(), _with_id(number))
    message = rf'"X X dog cat\." ids in {min(number, 0)}\.\.{max(number, 49407)}, and the model knows 0\.\.49407: pass'
    with pytest.raises(InputError, match=message):
        PromptEncoder(tower, None, ["airplane", "golden retriever", "dog cat"], n_ctx=2)
    with pytest.raises(
        InputError, match=r'^the tokenizer gives "a cat\." ids in .* the model was trained with$'
    ):
        encode_templates(tower, ["airplane", "cat", "golden retriever"], ["a {}."])


@pytest.mark.parametrize("make", [lambda ids: ids + 0.5, lambda ids: ids > 0])
def test_ids_that_are_no_integers_are_refused(make: Any) -> None:
    for wrong in (
        lambda texts: make(open_clip.tokenize(texts)),
        lambda texts, context_length: make(open_clip.tokenize(texts, context_length)),
    ):
        with pytest.raises(
            InputError,
            match=r"^the tokenizer must return integer ids, not torch\.(float32|bool); pass the model's",
        ):
            text_tower(clip(), wrong).tokenize(["cat"])


def test_a_name_without_a_token_is_refused() -> None:
    tower = text_tower(clip(), open_clip.SimpleTokenizer(clean="canonicalize"))
    message = r"^the class name '\?!' is nothing to the tokenizer, so that the model would read a "
    with pytest.raises(InputError, match=message):
        PromptEncoder(tower, None, ["cat", "?!"], n_ctx=2)
    with pytest.raises(InputError, match=message):
        encode_templates(tower, ["?!", "cat"], ["a photo of a {}."])


def test_the_class_of_a_tokenizer_is_refused() -> None:
    message = r"^the tokenizer must be an object, not its class: write SimpleTokenizer\(\)$"
    with pytest.raises(InputError, match=message):
        text_tower(clip(), open_clip.SimpleTokenizer)


@pytest.mark.parametrize("change", [torch.Tensor.to_sparse, lambda x: x.to("meta")])
def test_a_function_must_return_numbers_in_a_dense_tensor(change: Any) -> None:
    with pytest.raises(
        InputError, match=r"^encode\(texts\) must return a dense tensor; it returned one of torch\.s"
    ):
        text_tower(lambda texts: change(torch.ones(len(texts), 3)))


@pytest.mark.parametrize("make", [lambda: clip(pool_type="eos", eos_id=49407), huggingface_model.clip_model])
def test_texts_without_the_token_that_the_model_reads_at_are_refused(make: Any) -> None:
    tower = text_tower(make(), local_tokenizers.build("bert"))
    message = r"^the model reads a text at its end-of-text token, id 49407, and the tokenizer returns none: pass the "
    with pytest.raises(InputError, match=message):
        PromptEncoder(tower, None, ["cat", "dog"], n_ctx=2)
    with pytest.raises(InputError, match=message):
        encode_templates(tower, ["cat", "dog"], ["a photo of a {}."])


def test_a_tokenizer_that_cannot_pad_is_refused() -> None:
    tokenizer = copy.deepcopy(huggingface_model.clip_tokenizer())
    tokenizer.pad_token = None
    with pytest.raises(
        InputError, match=r"^the tokenizer has no padding token: set tokenizer\.pad_token as the "
    ):
        text_tower(huggingface_model.clip_model(), tokenizer).tokenize(["cat"])


def test_a_tokenizer_given_beside_a_tower_is_the_one_that_is_used() -> None:
    def longer(texts: list[str], context_length: int = 77) -> torch.Tensor:
        return open_clip.tokenize([text + " x" for text in texts], context_length)

    tower = text_tower(clip(), longer)
    assert text_tower(tower) is text_tower(tower, longer) is tower
    assert torch.equal(text_tower(tower, open_clip.tokenize).tokenize(["cat"]), open_clip.tokenize(["cat"]))
    with pytest.raises(InputError, match=r"^a function encode\(texts\) -> \(n, D\) has no tokenizer; pass "):
        text_tower(text_tower(lambda texts: torch.ones(len(texts), 3)), open_clip.tokenize)
