"""The small CLIP and its tokenizer: open_clip's interface, and the zero-shot accuracy that the README reports."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch
import torch.nn.functional as F

from examples.testbed import DATASETS, load_model, open_dataset
from examples.testbed.model import CONTEXT_LENGTH, DATA, load_tokenizer
from examples.testbed.tokenizer import CutTokenizer
from examples.testbed.zero_shot import class_features, zero_shot

# Half of a percent: what a differently rounded picture or matrix product may turn over.
TOLERANCE = 0.5


@pytest.fixture(scope="module")
def loaded() -> tuple[open_clip.CLIP, CutTokenizer]:
    return load_model()


def test_model_is_open_clips_own_and_frozen(loaded: tuple[open_clip.CLIP, CutTokenizer]) -> None:
    model, tokenizer = loaded
    assert type(model) is open_clip.CLIP
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.vocab_size == tokenizer.vocab_size
    assert open_clip.get_model_preprocess_cfg(model)["size"] == 40


@pytest.mark.parametrize("name", DATASETS)
def test_zero_shot_on_other_scenes(loaded: tuple[open_clip.CLIP, CutTokenizer], name: str) -> None:
    recorded = json.loads((DATA / "zero_shot.json").read_text(encoding="utf-8"))["scene"][name]
    assert zero_shot(*loaded, open_dataset(name)) == pytest.approx(recorded, abs=TOLERANCE)


def test_zero_shot_on_other_styles(loaded: tuple[open_clip.CLIP, CutTokenizer]) -> None:
    recorded = json.loads((DATA / "zero_shot.json").read_text(encoding="utf-8"))["style"]["food"]
    assert zero_shot(*loaded, open_dataset("food", split="style")) == pytest.approx(recorded, abs=TOLERANCE)


def test_unknown_names_get_sensible_neighbours(loaded: tuple[open_clip.CLIP, CutTokenizer]) -> None:
    names = ["puppy", "lorry", "soup"]
    classes = ["dog", "truck", "pot of food"]
    features = class_features(*loaded, names) @ class_features(*loaded, classes).T
    assert features.argmax(1).tolist() == [0, 1, 2]


def test_class_features_are_open_clips_zero_shot_classifier(
    loaded: tuple[open_clip.CLIP, CutTokenizer],
) -> None:
    model, tokenizer = loaded
    with torch.no_grad():
        tokens = tokenizer(["a photo of a dog."])
        expected = F.normalize(model.encode_text(tokens), dim=1)
        assert torch.allclose(model.encode_text(tokens, normalize=True), expected)
    weights = open_clip.build_zero_shot_classifier(
        model, tokenizer, ["dog", "cat"], ["itap of a {}.", "a {}."], None
    )
    assert weights.shape == (128, 2)


@pytest.fixture(scope="module")
def tokenizer() -> CutTokenizer:
    return load_tokenizer()


def test_rows_have_start_pieces_end_and_zeros(tokenizer: CutTokenizer) -> None:
    rows = tokenizer(["a photo of a cat.", ""])
    assert rows.shape == (2, CONTEXT_LENGTH)
    assert rows.dtype == torch.long
    assert rows[0].tolist()[0] == tokenizer.sot_token_id
    assert rows[0].tolist()[7] == tokenizer.eot_token_id
    assert rows[0, 8:].eq(0).all()
    assert rows[1].tolist()[:3] == [tokenizer.sot_token_id, tokenizer.eot_token_id, 0]


def test_end_of_text_is_the_largest_id(tokenizer: CutTokenizer) -> None:
    assert tokenizer.eot_token_id == tokenizer.vocab_size - 1
    assert tokenizer.sot_token_id == tokenizer.vocab_size - 2


def test_one_string_is_a_batch_of_one(tokenizer: CutTokenizer) -> None:
    assert torch.equal(tokenizer("a dog"), tokenizer(["a dog"]))


def test_other_context_length(tokenizer: CutTokenizer) -> None:
    assert tokenizer(["a dog"], context_length=8).shape == (1, 8)


def test_known_words_split_as_clip_splits_them(tokenizer: CutTokenizer) -> None:
    full = open_clip.SimpleTokenizer()
    text = "a photo of a hot-air balloon, a type of object."
    assert [tokenizer.decoder[i] for i in tokenizer.encode(text)] == [
        full.decoder[i] for i in full.encode(text)
    ]


@pytest.mark.parametrize("text", ["zyzzyva quokka", "smörgåsbord 東京", "3d!?", "x x x x cat"])
def test_any_text_survives(tokenizer: CutTokenizer, text: str) -> None:
    decoded = tokenizer.decode(tokenizer.encode(text))
    assert decoded.replace(" ", "") == text.replace(" ", "")


def test_placeholder_is_one_piece(tokenizer: CutTokenizer) -> None:
    assert len(tokenizer.encode("X X X X")) == 4
