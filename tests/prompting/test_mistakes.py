"""Every mistake names what was expected, what came and what to do."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from sar_reg import PromptEncoder
from sar_reg.errors import InputError
from tests.prompting.models import NAMES, WIDTH, clip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classnames": []}, "classnames is empty; pass at least one class name"),
        ({"classnames": "cat"}, "classnames must be a list of class names, not one string; write ['cat']"),
        (
            {"classnames": {"cat"}},
            "classnames needs an order, and a set's order changes from run to run; pass sorted(names)",
        ),
        ({"classnames": 3}, "classnames must be a list of class names, not int"),
        ({"classnames": [1, 2]}, "classnames[0] is 1, not a string; convert it with str()"),
        (
            {"n_ctx": 4.0},
            "n_ctx must be an int of 1 or more, not 4.0",
        ),
        ({"classnames": ["cat", "_"]}, "classnames[1] is '_', which is empty; every class needs a name"),
        ({"checkpoint": "no"}, "checkpoint must be True or False, not 'no'"),
        ({"cuda_graph": 0}, "cuda_graph must be True or False, not 0"),
        ({"compile": 3}, "compile must be True or False or the name of a backend, not 3"),
        ({"suffix": None}, 'suffix must be a string ("" for nothing), not None'),
        ({"infix": 3}, 'infix must be a string ("" for nothing), not 3'),
        ({"chunk_size": "8"}, "chunk_size must be an int of 1 or more or None, not '8'"),
        ({"chunk_size": 1.5}, "chunk_size must be an int of 1 or more or None, not 1.5"),
        ({"class_position": ["end"]}, """class_position must be "end", "middle" or "front", not ['end']"""),
        (
            {"n_ctx": 0},
            "n_ctx must be an int of 1 or more, not 0",
        ),
        ({"class_position": "last"}, """class_position must be "end", "middle" or "front", not 'last'"""),
        (
            {"class_position": "front", "infix": "of a"},
            'infix words need class_position="end", not "front"',
        ),
        ({"chunk_size": 0}, "chunk_size must be an int of 1 or more or None, not 0"),
        ({"buckets": 1.5}, "buckets must be an int of 1 or more or None, not 1.5"),
        (
            {"n_ctx": 75},
            f'the text "{"X " * 75}cat." does not fit: it needs at least 79 tokens, the model reads 77; '
            "shorten the class name or the template",
        ),
        (
            {"tokenizer": lambda texts, context_length=77: torch.zeros(len(texts), context_length)},
            'the tokenizer must make one token of each placeholder "X" and pad on the right; '
            "for 4 of them it returned the ids [0, 0, 0, 0, 0, 0, 0]; pass the tokenizer the model was trained with",
        ),
        (
            {"tokenizer": lambda texts: torch.zeros(len(texts), 9)},
            "the tokenizer must return ids of shape (texts, 77) for 1 text; it returned (1, 9); "
            "pass a tokenizer that takes context_length=",
        ),
        (
            {"tokenizer": lambda texts: {"input_ids": torch.zeros(len(texts), 77)}},
            "the tokenizer must return ids of shape (texts, 77) for 1 text; it returned dict; "
            "pass a tokenizer that takes context_length=",
        ),
        (
            {"classnames": ["cafe\u0301", "CAF\u00c9", "cat"]},
            "the class names 'cafe\\u0301' and 'CAF\\xc9' are the same to the tokenizer, so that the model cannot tell "
            "them apart; remove or rename one of them",
        ),
        (
            {"model": lambda texts: torch.zeros(len(texts), 3)},
            "learnable prompts need a model, not a function: a function takes only texts",
        ),
        (
            {"model": torch.nn.Linear(2, 2)},
            "expected an open_clip CLIP, CustomTextCLIP or CoCa, a transformers CLIPModel, "
            "CLIPTextModelWithProjection, SiglipModel, Siglip2Model, MetaClip2Model, AltCLIPModel, ChineseCLIPModel, "
            "a model in the layout of OpenAI's clip, or a function encode(texts) -> (n, D); got Linear; "
            "for any other model pass a function: lambda texts: model.encode(texts)",
        ),
    ],
)
def test_what_an_encoder_cannot_be_made_of(model: Any, settings: dict[str, Any], message: str) -> None:
    arguments = {"model": model, "tokenizer": None, "classnames": ["cat"], "n_ctx": 4} | settings
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        PromptEncoder(**arguments)


def _zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape, dtype=torch.float64)


@pytest.mark.parametrize(
    ("position", "arguments", "message"),
    [
        ("end", (_zeros(3, WIDTH),), "context must have shape (4, 32) or (6, 4, 32), not (3, 32)"),
        (
            "front",
            (_zeros(4, WIDTH), [_zeros(4, WIDTH)]),
            'deep prompts and class tokens need class_position="end", not "front"',
        ),
        (
            "end",
            (_zeros(4, WIDTH), [_zeros(4, WIDTH)] * 4),
            "deep prompts enter the blocks after the first, of which this tower has 3; got 4",
        ),
        (
            "end",
            (_zeros(4, WIDTH), None, _zeros(6, 3, WIDTH), 2),
            "class_tokens must have shape (6, 4, 32), not (6, 3, 32)",
        ),
        (
            "end",
            (_zeros(4, WIDTH), None, _zeros(6, 4, WIDTH), 4),
            "class_layer must be an int in 1..3, not 4",
        ),
        ("end", (_zeros(4, WIDTH), [1]), "deep[0] must have shape (4, 32), not int"),
        (
            "end",
            (_zeros(4, WIDTH), [_zeros(4, WIDTH), _zeros(3)]),
            "deep[1] must have shape (4, 32), not (3,)",
        ),
        (
            "end",
            (_zeros(4, WIDTH).to_sparse(),),
            "context must be a dense tensor, not torch.sparse_coo; convert with .to_dense()",
        ),
        ("end", (_zeros(4, WIDTH), 5), "deep must be a list of tensors, one for each block, not int"),
        (
            "end",
            (_zeros(4, WIDTH), _zeros(1, 4, WIDTH)),
            "deep must be a list of tensors, one for each block, not Tensor",
        ),
        (
            "end",
            (_zeros(4, WIDTH), [_zeros(4, WIDTH).to("meta")]),
            "deep[0] must be on the model's device cpu, not on meta; move one of them with .to(...)",
        ),
        ("end", (_zeros(4, WIDTH), None, [1], 2), "class_tokens must have shape (6, 4, 32), not list"),
        (
            "end",
            (_zeros(4, WIDTH), None, _zeros(6, 4, WIDTH).to("meta"), 2),
            "class_tokens must be on the model's device cpu, not on meta; move one of them with .to(...)",
        ),
        (
            "end",
            (_zeros(4, WIDTH), None, _zeros(6, 4, WIDTH)),
            "class_layer must be an int in 1..3, not None",
        ),
        (
            "end",
            (_zeros(4, WIDTH), None, _zeros(6, 4, WIDTH), "2"),
            "class_layer must be an int in 1..3, not '2'",
        ),
        (
            "end",
            (_zeros(4, WIDTH), None, _zeros(6, 4, WIDTH), 1.5),
            "class_layer must be an int in 1..3, not 1.5",
        ),
        (
            "end",
            (_zeros(4, WIDTH).long(),),
            "context must be floating point, not torch.int64; convert with .float()",
        ),
        (
            "end",
            (_zeros(4, WIDTH).to(torch.float8_e4m3fn),),
            "context must be floating point, not torch.float8_e4m3fn; convert with .float()",
        ),
        (
            "end",
            (_zeros(4, WIDTH), [_zeros(4, WIDTH)], _zeros(6, 4, WIDTH), 2),
            "deep prompts and class tokens cannot be combined: both replace the same rows",
        ),
        ("end", ([0.0],), "context must have shape (4, 32) or (6, 4, 32), not list"),
        (
            "end",
            (torch.nested.nested_tensor([_zeros(4, WIDTH)], layout=torch.jagged),),
            "context must be a dense tensor, not a nested one",
        ),
        (
            "end",
            (_zeros(4, WIDTH).to("meta"),),
            "context must be on the model's device cpu, not on meta; move one of them with .to(...)",
        ),
        ("end", (_zeros(4, WIDTH), None, None, 2), "class_layer=2 needs class_tokens to put in there"),
    ],
)
def test_what_an_encoder_cannot_be_called_with(
    model: Any, position: Any, arguments: tuple[Any, ...], message: str
) -> None:
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4, class_position=position)
    for call in (encoder, encoder.encode_plain):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            call(*arguments)


@pytest.mark.parametrize("backend", ["", "nobackend"])
def test_backends_that_do_not_exist(model: Any, backend: str) -> None:
    with pytest.raises(InputError, match=f"^compile='{backend}' is not a backend of torch.compile here"):
        PromptEncoder(model, None, ["cat"], n_ctx=4, compile=backend)


def test_words_too_few_for_the_context(model: Any) -> None:
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    with pytest.raises(
        InputError, match=r'^"a photo" has 2 tokens, fewer than the 4 context vectors: pass more'
    ):
        encoder.context_from_words("a photo")
    with pytest.raises(InputError, match=r'^words must be a string, such as "a photo of a", not 5$'):
        encoder.context_from_words(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x",), "std must be a finite number of 0 or more, not 'x'"),
        ((-1,), "std must be a finite number of 0 or more, not -1"),
        ((float("nan"),), "std must be a finite number of 0 or more, not nan"),
        ((True,), "std must be a finite number of 0 or more, not True"),
        ((10**400,), f"std must be a finite number of 0 or more, not 1{'0' * 59}"),
        ((0.02, 3), "generator must be a torch.Generator of the CPU or None, not 3"),
    ],
)
def test_what_a_context_cannot_be_drawn_with(model: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        PromptEncoder(model, None, ["cat"], n_ctx=4).random_context(*arguments)


def test_deep_prompts_need_known_blocks() -> None:
    encoder = PromptEncoder(clip(), None, ["cat"], n_ctx=4)
    object.__setattr__(encoder.tower, "block_modules", ())
    for arguments in (([_zeros(4, WIDTH)],), (None, _zeros(1, 4, WIDTH), 1)):
        with pytest.raises(InputError, match="deep prompts and class tokens need a tower with known blocks"):
            encoder(_zeros(4, WIDTH), *arguments)


def test_a_vocabulary_of_its_own_needs_its_tokenizer() -> None:
    small = clip(vocab_size=100)
    with pytest.raises(
        InputError, match="texts need the model's tokenizer, which was not passed: its vocabulary is"
    ):
        PromptEncoder(small, None, ["cat"], n_ctx=4)
