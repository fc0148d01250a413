"""The cut tokenizer: open_clip's call interface on a smaller vocabulary."""

from __future__ import annotations

import open_clip
import pytest
import torch

from examples.testbed.model import CONTEXT_LENGTH, load_tokenizer
from examples.testbed.tokenizer import CutTokenizer


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
