"""What is computed and what is kept: numbers, not impressions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sar_reg import PromptEncoder
from tests.prompting.models import BLOCKS, NAMES, WIDTH, clip, learnable

# tokens of the names, then "." and end-of-text
OWN = [1 + 2, 2 + 2, 4 + 2, 10 + 2, 1 + 2, 1 + 2]


class _Rows(TorchDispatchMode):
    """Rows that meet each block's first norm and its perceptron, by the operations that read their weights."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.counts: Counter[tuple[str, int]] = Counter()
        self.readers = {
            module.weight.data_ptr(): (part, number)
            for number, block in enumerate(model.transformer.resblocks)
            for part, module in (("norm", block.ln_1), ("mlp", block.mlp.c_fc))
        }

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("native_layer_norm", "addmm", "mm"):
            # the weight comes after the rows, and before them a bias at most
            index = 1 if name == "addmm" else 0
            weight = args[2] if name == "native_layer_norm" else args[index + 1]
            if weight.data_ptr() in self.readers:
                self.counts[self.readers[weight.data_ptr()]] += args[index].numel() // args[index].shape[-1]
        return out


def _rows_computed(model: Any, run: Callable[[], torch.Tensor]) -> dict[str, list[int]]:
    with _Rows(model) as seen:
        run()
    return {part: [seen.counts[part, number] for number in range(BLOCKS)] for part in ("norm", "mlp")}


def test_the_names_have_these_tokens(model: Any) -> None:
    tokens = PromptEncoder(model, None, NAMES, n_ctx=4).tokens
    assert (tokens.argmax(dim=-1) - 4).tolist() == OWN


@pytest.mark.parametrize(
    ("options", "call", "expected"),
    [
        ({}, {"context": (4, WIDTH)}, 5 + sum(OWN)),
        ({}, {"context": (6, 4, WIDTH)}, 1 + sum(OWN) + 6 * 4),
        ({"class_position": "middle"}, {"context": (4, WIDTH)}, 3 + sum(OWN) + 6 * 2),
        ({"class_position": "front"}, {"context": (4, WIDTH)}, 1 + sum(OWN) + 6 * 4),
        ({"buckets": 1}, {"context": (4, WIDTH)}, 5 + 6 * 12),
        ({"buckets": 2}, {"context": (4, WIDTH)}, 5 + 4 * 4 + 2 * 12),
        ({"infix": "of a"}, {"context": (4, WIDTH)}, 7 + sum(OWN)),
        ({"chunk_size": 2}, {"context": (4, WIDTH)}, 5 + sum(OWN)),
    ],
)
def test_no_row_is_computed_twice_and_none_after_the_end(
    model: Any, options: dict[str, Any], call: dict[str, tuple[int, ...]], expected: int
) -> None:
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4, **options)
    with torch.no_grad():
        rows = _rows_computed(model, lambda: encoder(*(learnable(*shape) for shape in call.values())))

    assert rows["norm"] == [expected] * BLOCKS
    assert rows["mlp"] == [expected] * (BLOCKS - 1) + [len(NAMES)]
    specific = len(call["context"]) == 3
    longest = 19 if "infix" in options else 17
    assert encoder.count_tokens(class_specific=specific) == (6 * 77, 6 * longest, expected)


def test_class_tokens_end_the_sharing_where_they_enter(model: Any) -> None:
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    arguments = learnable(4, WIDTH), None, learnable(6, 4, WIDTH), 2

    rows = _rows_computed(model, lambda: encoder(*arguments))

    shared, alone = 5 + sum(OWN), 1 + 6 * 4 + sum(OWN)
    assert rows["norm"] == [shared, shared, alone, alone]
    # the shared rows leave the sharing at the input of block 2: they pass through blocks 0 and 1 in full
    assert rows["mlp"] == [shared, shared, alone, 6]


def test_the_plain_path_computes_all_77_rows(model: Any) -> None:
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    rows = _rows_computed(model, lambda: encoder.encode_plain(learnable(4, WIDTH)))
    assert rows["norm"] == rows["mlp"] == [6 * 77] * BLOCKS


def test_words_all_names_begin_with_are_shared_too(model: Any) -> None:
    encoder = PromptEncoder(model, None, ["golden retriever", "golden eagle"], n_ctx=4)
    assert encoder.count_tokens() == (2 * 77, 2 * 9, 6 + 2 * 3)


def kept_bytes(model: Any, run: Callable[[], torch.Tensor]) -> int:
    """Bytes of distinct storages kept for backward, the model's weights left out."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}
    alive: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            alive.append(tensor)
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(kept.values())


def test_memory_kept_for_backward() -> None:
    # wide enough that rows, not masks and indices, make up the memory
    model = clip(width=128, layers=6, dtype=torch.float32)
    names = [f"{adjective} {name}" for adjective in ("small", "big", "red", "old", "wet") for name in NAMES]
    context = learnable(4, 128, dtype=torch.float32)
    more = PromptEncoder(model, None, names, n_ctx=4)

    plain = kept_bytes(model, lambda: more.encode_plain(context))
    ours = kept_bytes(model, lambda: more(context))
    without_novel = PromptEncoder(model, None, names[:10], n_ctx=4)

    assert ours < plain / 10
    assert ours < kept_bytes(model, lambda: without_novel.encode_plain(context))
    recomputed = PromptEncoder(model, None, names, n_ctx=4, checkpoint=True)
    assert kept_bytes(model, lambda: recomputed(context)) < ours / 5
    chunked = PromptEncoder(model, None, names, n_ctx=4, chunk_size=5)
    assert kept_bytes(model, lambda: chunked(context)) < ours / 5


def test_class_specific_contexts_cost_their_rows(model: Any) -> None:
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    assert repr(encoder) == (
        'PromptEncoder(6 classes, "X X X X {}.", n_ctx=4, open_clip CLIP: 5 rows shared + 31 own = 36 instead of 462; '
        "class-specific contexts share only the start: 56)"
    )
    assert repr(PromptEncoder(model, None, NAMES[:1], n_ctx=4)).startswith("PromptEncoder(1 class, ")
