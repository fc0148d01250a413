"""Every kind of model behind one interface: our features are the model's own."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIPTextCfg

from sar_reg import PromptEncoder, build_anchor_bank
from sar_reg.bank import encode_templates
from sar_reg.errors import InputError
from sar_reg.prompting import text_tower
from tests.prompting import huggingface_model
from tests.prompting.models import BLOCKS, NAMES, WIDTH, clip, learnable, randomise
from tests.prompting.official import pulled
from tests.prompting.openai_model import OpenAICLIP

SENTENCES = [f"a photo of a {name.replace('_', ' ')}." for name in NAMES]


def _read_at_its_eos_id() -> tuple[Any, None]:
    if not hasattr(CLIPTextCfg, "eos_id"):
        pytest.skip("this open_clip has no eos_id in its text configuration")
    return clip(pool_type="eos", eos_id=49407), None


MODELS: dict[str, Any] = {
    "open_clip CLIP": lambda: (clip(), None),
    "with LayerScale": lambda: (clip(ls_init_value=0.3), None),
    "with GELU": lambda: (clip(quick_gelu=False), None),
    "read at its eos id": _read_at_its_eos_id,
    "linear projection": lambda: (clip(proj_bias=True), None),
    "no projection": lambda: (clip(proj_type="none"), None),
    "open_clip CustomTextCLIP": lambda: (clip(custom=True), open_clip.get_tokenizer("ViT-B-16")),
    "transformers CLIPModel": lambda: (huggingface_model.clip_model(), huggingface_model.clip_tokenizer()),
    "transformers CLIPModel, old config": lambda: (
        huggingface_model.clip_model(2),
        huggingface_model.clip_tokenizer(),
    ),
    "OpenAI layout": lambda: (randomise(OpenAICLIP(WIDTH, BLOCKS, 2, 16)).double(), open_clip.tokenize),
}


def own_features(model: Any, texts: list[str]) -> torch.Tensor:
    """The features as a user of that library gets them."""
    if hasattr(model, "encode_text"):
        return model.encode_text(open_clip.tokenize(texts))
    inputs = huggingface_model.clip_tokenizer()(texts, padding=True, return_tensors="pt")
    features = model.get_text_features(**inputs)
    return features if torch.is_tensor(features) else features.pooler_output


@pytest.mark.parametrize("kind", MODELS)
def test_the_encoder_gives_the_models_own_features(kind: str) -> None:
    model, tokenizer = MODELS[kind]()
    tower = text_tower(model, tokenizer)
    encoder = PromptEncoder(tower, None, NAMES, n_ctx=4)
    words = tower.token_table.weight.detach()[tower.tokenize(["a photo of a"])[0, 1:5]]
    expected = own_features(model, SENTENCES)

    assert tower.shareable, tower.why_not
    assert tower.embed_dim == expected.shape[1]
    assert encoder.count_tokens().ours < encoder.count_tokens().plain / 8
    torch.testing.assert_close(encoder(words), expected, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(encoder.encode_plain(words), expected, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(tower.encode_texts(SENTENCES), expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("kind", MODELS)
def test_deep_prompts_and_class_tokens_on_every_model(kind: str) -> None:
    model, tokenizer = MODELS[kind]()
    encoder = PromptEncoder(model, tokenizer, NAMES, n_ctx=4)
    context, deep = learnable(4, WIDTH), learnable(4, WIDTH, seed=1)
    tokens = learnable(len(NAMES), 4, WIDTH, seed=2)

    for arguments, learned in (
        ((context, [deep]), (context, deep)),
        ((context, None, tokens, 2), (context, tokens)),
    ):
        ours = pulled(encoder(*arguments), *learned)
        plain = pulled(encoder.encode_plain(*arguments), *learned)
        for a, b in zip(ours, plain, strict=True):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("kind", MODELS)
def test_banks_of_every_model(kind: str) -> None:
    model, tokenizer = MODELS[kind]()
    found = encode_templates(text_tower(model, tokenizer), NAMES, ["a photo of a {}."])
    expected = torch.nn.functional.normalize(own_features(model, SENTENCES), dim=-1)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)


UNSHAREABLE: dict[str, tuple[Any, str]] = {
    "SigLIP-like": (
        lambda: clip(custom=True, no_causal_mask=True, pool_type="last", proj_bias=True),
        "its attention is not causal",
    ),
    "bidirectional CLIP": (lambda: clip(no_causal_mask=True), "its attention is not causal"),
    "read at the last row": (
        lambda: clip(custom=True, pool_type="last"),
        'it is read at the "last" token, not at end-of-text',
    ),
    "class token": (
        lambda: clip(custom=True, embed_cls=True, pad_id=0),
        "it reads an appended class token, not the end-of-text token",
    ),
    "blocks of another kind": (
        lambda: clip(scale_attn=True),
        "its blocks (CustomResidualAttentionBlock) are not the standard ones",
    ),
    "OpenAI layout, not causal": (
        lambda: randomise(OpenAICLIP(WIDTH, BLOCKS, 2, 16, causal=False)).double(),
        "its attention is not causal",
    ),
}


@pytest.mark.parametrize("kind", UNSHAREABLE)
def test_where_sharing_is_not_exact_the_model_reads_all(kind: str) -> None:
    make, reason = UNSHAREABLE[kind]
    if kind == "blocks of another kind" and not hasattr(open_clip.CLIPTextCfg, "scale_attn"):
        pytest.skip("open_clip 2 does not have these blocks")
    model = make()
    encoder = PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4)
    context = learnable(4, WIDTH)
    words = encoder.tower.token_table.weight.detach()[open_clip.tokenize("a photo of a")[0, 1:5]]

    assert encoder.tower.why_not == reason
    assert f"no sharing, full length: {reason})" in repr(encoder)
    assert encoder.count_tokens() == (6 * 77, 6 * 77, 6 * 77)
    torch.testing.assert_close(
        encoder(words), model.encode_text(open_clip.tokenize(SENTENCES)), atol=1e-10, rtol=0
    )
    ours, pull = pulled(encoder(context), context)
    assert torch.isfinite(ours).all()
    assert pull.abs().min() > 0
    with pytest.raises(InputError, match=r'^class_position="middle" needs a CLIP text tower; here it'):
        PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4, class_position="middle")


def test_temperature_is_read_from_the_model(model: Any) -> None:
    assert text_tower(model).temperature == pytest.approx(0.07)
    hugging_face = text_tower(huggingface_model.clip_model(2), huggingface_model.clip_tokenizer())
    assert hugging_face.temperature == pytest.approx(0.01, rel=1e-4)


def test_a_fingerprint_is_of_the_values_not_of_their_type() -> None:
    tower = text_tower(clip(dtype=torch.float16))
    first = tower.fingerprint()

    assert first == text_tower(clip(dtype=torch.float16).float()).fingerprint()
    assert first == text_tower(clip(dtype=torch.float16).double()).fingerprint()
    assert len(first) == 64
    with torch.no_grad():
        tower.token_table.weight[7, 3] += 1
    assert tower.fingerprint() != first


def test_a_fingerprint_leaves_out_what_text_does_not_depend_on(model: Any) -> None:
    first = text_tower(model).fingerprint()
    other = clip()
    with torch.no_grad():
        other.visual.conv1.weight.zero_()
        other.logit_scale.zero_()
    assert text_tower(other).fingerprint() == first
    assert text_tower(clip(custom=True)).fingerprint() == text_tower(clip(custom=True)).fingerprint()


def test_a_fingerprint_tells_activations_apart() -> None:
    gelu, quick = clip(quick_gelu=False), clip()
    quick.load_state_dict(gelu.state_dict())
    assert text_tower(gelu).fingerprint() != text_tower(quick).fingerprint()
    bank = build_anchor_bank(gelu, None, list(NAMES))
    with pytest.raises(InputError, match=r"^this bank was built with another text tower"):
        bank.check(quick)
    tower = text_tower(quick)
    before = tower.fingerprint()
    quick.transformer.resblocks[0].mlp.gelu = torch.nn.SiLU()
    assert tower.fingerprint() != before


def test_a_function_is_known_by_what_it_does(model: Any) -> None:
    def encode(texts: list[str]) -> torch.Tensor:
        return model.encode_text(open_clip.tokenize(texts))

    tower = text_tower(encode)

    assert not tower.shareable
    assert tower.temperature == 0.01
    assert tower.fingerprint() == text_tower(lambda texts: encode(texts).float() * 3).fingerprint()
    assert tower.fingerprint() != text_tower(lambda texts: encode(texts).abs()).fingerprint()


def test_the_tokenizers_agree(model: Any) -> None:
    ours = text_tower(model).tokenize(SENTENCES)
    hugging_face = text_tower(huggingface_model.clip_model(2), huggingface_model.clip_tokenizer()).tokenize(
        SENTENCES
    )

    ends = ours.argmax(dim=-1)
    assert torch.equal(ends, hugging_face.argmax(dim=-1))
    for row, end in enumerate(ends.tolist()):
        assert torch.equal(ours[row, : end + 1], hugging_face[row, : end + 1])


def test_a_wrapped_tokenizer_that_may_have_cut_is_refused() -> None:
    tower = text_tower(clip(), lambda texts: open_clip.tokenize(texts))
    assert torch.equal(tower.tokenize(["cat", "a dog"]), open_clip.tokenize(["cat", "a dog"]))
    with pytest.raises(
        InputError, match=r'^the text "(word ){80}" fills all 77 places and may have been cut'
    ):
        tower.tokenize(["cat", "word " * 80])


def test_a_processor_stands_for_its_tokenizer_and_what_cannot_be_called_is_refused() -> None:
    from transformers import CLIPImageProcessor, CLIPProcessor

    model, tokenizer = huggingface_model.clip_model(2), huggingface_model.clip_tokenizer()
    processor = CLIPProcessor(image_processor=CLIPImageProcessor(), tokenizer=tokenizer)
    assert torch.equal(
        text_tower(model, processor).tokenize(["cat"]), text_tower(model, tokenizer).tokenize(["cat"])
    )
    with pytest.raises(InputError, match="the tokenizer must be callable, not 'ViT-B-16': "):
        text_tower(clip(), "ViT-B-16")


def test_a_compiled_model_is_the_model() -> None:
    model = clip()
    compiled = torch.compile(model, backend="eager")
    assert text_tower(compiled).fingerprint() == text_tower(model).fingerprint()
    encoders = [PromptEncoder(each, None, NAMES, n_ctx=4) for each in (compiled, model)]
    assert repr(encoders[0]) == repr(encoders[1])


def test_what_does_not_fit_is_an_error_with_every_tokenizer() -> None:
    model = huggingface_model.clip_model(2)
    message = (
        r'^the text "(word ){80}" does not fit: it needs at least 82 tokens, the model reads 77; shorten'
    )
    with pytest.raises(InputError, match=message):
        text_tower(model, huggingface_model.clip_tokenizer()).tokenize(["cat", "word " * 80])
    with pytest.raises(InputError, match=message):
        text_tower(clip()).tokenize(["word " * 80])
    with pytest.raises(
        InputError, match=r"^texts need the model's tokenizer, which was not passed: pass the CLIPTok"
    ):
        text_tower(model).tokenize(["cat"])
