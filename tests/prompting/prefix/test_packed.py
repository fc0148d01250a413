"""Packed bins: how many operations, how much memory, and what lies where."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from benchmarks.operations import Operations
from sar_reg import PromptEncoder
from sar_reg.bank import encode_templates
from sar_reg.errors import InputError, SarRegError
from sar_reg.prompting import text_tower
from sar_reg.prompting.prefix.bins import PADDING, SHARED, fill
from sar_reg.prompting.prefix.plan import PlanOptions
from tests.prompting.models import NAMES, WIDTH, clip, learnable
from tests.prompting.official import pulled
from tests.prompting.test_towers import MODELS

MODES: dict[str, dict[str, Any]] = {
    "end": {},
    "infix": {"infix": "of a"},
    "middle": {"class_position": "middle"},
    "front": {"class_position": "front"},
    "class-specific": {"each": True},
    "deep 11": {"deep": 11},
    "deep 11, class-specific": {"deep": 11, "each": True},
    "class tokens": {"class_layer": 8},
    "class tokens, infix": {"class_layer": 8, "infix": "of a"},
    "class tokens, class-specific": {"class_layer": 8, "each": True},
}


@cache
def _twelve_blocks(width: int = 16) -> Any:
    return clip(layers=12, width=width, heads=2, dtype=torch.float32)


def _names(count: int) -> list[str]:
    base = list(open_clip.IMAGENET_CLASSNAMES)
    return (base + [f"{a} {b}" for a, b in pairwise(base)])[:count]


def _count(mode: str, classes: int, **options: Any) -> Operations:
    """Operations of forward and backward of the second step."""
    settings = dict(MODES[mode])
    each, deep, layer = (settings.pop(key, None) for key in ("each", "deep", "class_layer"))
    encoder = PromptEncoder(
        _twelve_blocks(), None, _names(classes), n_ctx=4, layout="packed", **settings, **options
    )
    context = learnable(*((classes, 4, 16) if each else (4, 16)), dtype=torch.float32)
    arguments: dict[str, Any] = {}
    if deep:
        arguments["deep"] = [learnable(4, 16, dtype=torch.float32) for _ in range(deep)]
    if layer:
        arguments |= {
            "class_tokens": learnable(classes, 4, 16, dtype=torch.float32),
            "class_layer": layer,
        }
    learned = [context, *arguments.get("deep", [])]
    learned += [arguments["class_tokens"]] if layer else []
    encoder(context, **arguments)
    with Operations(refuse_reads=True) as operations:
        features = encoder(context, **arguments)
        torch.autograd.grad(features, learned, torch.ones_like(features))
    return operations


@pytest.mark.parametrize("mode", MODES)
def test_at_most_320_operations_for_any_number_of_classes(mode: str) -> None:
    few, many = _count(mode, 60).total, _count(mode, 700).total
    assert few == many <= 320


@pytest.mark.parametrize("mode", MODES)
def test_at_most_440_operations_with_checkpointing(mode: str) -> None:
    operations = _count(mode, 60, checkpoint=True)
    # torch.utils.checkpoint in PyTorch 2.8 makes two tensors without elements per block: nothing is launched
    empty = operations.by_name["empty"]
    assert empty in (0, 2 * 12)
    assert operations.total - empty <= 440


@pytest.mark.parametrize(("recompute", "gib"), [(False, 8.0), (True, 1.5)])
def test_memory_kept_is_linear_and_fits_21000_classes(recompute: bool, gib: float) -> None:
    model = clip(layers=12, width=64, heads=1, dtype=torch.float32)
    per_class: list[float] = []
    for classes in (300, 600):
        encoder = PromptEncoder(model, None, _names(classes), n_ctx=4, layout="packed", checkpoint=recompute)
        context = learnable(4, 64, dtype=torch.float32)
        encoder(context)
        constant = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
        bins = encoder._prepared.plans[False].passes[0].bins  # type: ignore[union-attr]
        constant.add(bins.mask(torch.float32).untyped_storage().data_ptr())
        kept: dict[int, Tensor] = {}

        def keep(tensor: Tensor, kept: dict[int, Tensor] = kept) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            features = encoder(context)
        del features
        sizes = [t.untyped_storage().nbytes() for at, t in kept.items() if at not in constant]
        per_class.append(sum(sizes) / classes)
    # float32 at width 64 to float16 at width 512: what is kept is proportional to the width
    assert per_class[1] * 8 / 2 * 21_000 < gib * 2**30
    assert per_class[1] < 1.1 * per_class[0]


@pytest.mark.parametrize("kind", MODELS)
def test_every_model_gives_the_same_packed(kind: str) -> None:
    model, tokenizer = MODELS[kind]()
    context, deep = learnable(4, WIDTH), learnable(4, WIDTH, seed=1)
    tokens = learnable(len(NAMES), 4, WIDTH, seed=2)
    packed, grouped = (
        PromptEncoder(model, tokenizer, NAMES, n_ctx=4, layout=layout) for layout in ("packed", "grouped")
    )
    for arguments, learned in (
        ((context,), (context,)),
        ((context, [deep]), (context, deep)),
        ((context, None, tokens, 2), (context, tokens)),
    ):
        for a, b in zip(
            pulled(packed(*arguments), *learned), pulled(grouped(*arguments), *learned), strict=True
        ):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize("kind", ["open_clip CLIP", "with GELU", "transformers CLIPModel"])
def test_weights_changed_in_place_count(kind: str, data: bool) -> None:
    model, tokenizer = MODELS[kind]()
    context = learnable(4, WIDTH)
    encoder = PromptEncoder(model, tokenizer, NAMES, n_ctx=4, layout="packed")
    before = encoder(context)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "q_proj" in name or "c_fc" in name:
                # an edit of .data leaves no trace in the weight
                (weight.data if data else weight).mul_(0.5)
    assert not torch.allclose(encoder(context), before)
    torch.testing.assert_close(encoder(context), encoder.encode_plain(context), atol=1e-10, rtol=1e-10)


class _Doubled(nn.Linear):
    """An adapter: more than its weight and bias."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def test_a_layer_that_is_more_than_its_weights_is_called() -> None:
    model, context = clip(), learnable(4, WIDTH)
    adapted = _Doubled(WIDTH, 4 * WIDTH, dtype=torch.float64)
    adapted.load_state_dict(model.transformer.resblocks[1].mlp.c_fc.state_dict())
    model.transformer.resblocks[1].mlp.c_fc = adapted
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4, layout="packed")
    torch.testing.assert_close(encoder(context), encoder.encode_plain(context), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("recompute", [False, True])
def test_autocast_gives_gradients_in_the_context_type(recompute: bool) -> None:
    context = learnable(4, WIDTH, dtype=torch.float32)
    found = {}
    for layout in ("packed", "grouped"):
        encoder = PromptEncoder(
            clip(dtype=torch.float32), None, NAMES, n_ctx=4, layout=layout, checkpoint=recompute
        )
        with torch.autocast("cpu", torch.bfloat16):
            features = encoder(context)
        found[layout] = pulled(features, context)
    assert found["packed"][0].dtype == torch.bfloat16
    assert found["packed"][1].dtype == torch.float32
    for a, b in zip(found["packed"], found["grouped"], strict=True):
        assert (a - b).float().norm() < 0.05 * b.float().norm()


def test_transformed_functions_and_compiled_ones() -> None:
    context, deep = learnable(4, WIDTH), learnable(4, WIDTH, seed=1)
    encoder = PromptEncoder(clip(), None, NAMES, n_ctx=4, layout="packed")
    expected = torch.autograd.grad(encoder(context, [deep]).square().sum(), context)[0]
    by_func = torch.func.grad(lambda x: encoder(x, [deep]).square().sum())(context)
    torch.testing.assert_close(by_func, expected, atol=1e-10, rtol=1e-10)
    compiled = PromptEncoder(clip(), None, NAMES, n_ctx=4, layout="packed", compile="aot_eager")
    (by_compile,) = torch.autograd.grad(compiled(context, [deep]).square().sum(), context)
    torch.testing.assert_close(by_compile, expected, atol=1e-10, rtol=1e-10)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize("quick_gelu", [False, True])
def test_derivatives_that_packed_lacks_are_refused_and_transforms_have_them(quick_gelu: bool) -> None:
    model, context = clip(quick_gelu=quick_gelu), learnable(4, WIDTH)
    packed, grouped = (
        PromptEncoder(model, None, NAMES, n_ctx=4, layout=layout) for layout in ("packed", "grouped")
    )
    (once,) = torch.autograd.grad(packed(context).square().sum(), context, create_graph=True)
    (expected,) = torch.autograd.grad(grouped(context).square().sum(), context)
    torch.testing.assert_close(once, expected, atol=1e-10, rtol=1e-10)
    with pytest.raises(
        SarRegError, match=r'^the packed layout has no second derivative; use layout="grouped", or a '
    ):
        torch.autograd.grad(once.square().sum(), context)
    with (
        forward_ad.dual_level(),
        pytest.raises(SarRegError, match=r"^the packed layout has no forward-mode derivative; "),
    ):
        packed(forward_ad.make_dual(context.detach(), torch.ones_like(context)))
    for transform in (
        lambda encode: torch.func.hessian(lambda x: encode(x).square().sum()),
        lambda encode: torch.func.jacfwd(encode),
    ):
        found = [transform(encode)(context.detach()) for encode in (packed, grouped)]
        torch.testing.assert_close(*found, atol=1e-9, rtol=1e-9)


def test_templates_packed() -> None:
    tower = text_tower(clip())
    found = [
        encode_templates(tower, NAMES, ["a photo of a {}.", "{} at night"], batch_size=4, layout=layout)
        for layout in ("packed", "grouped")
    ]
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-6)


def test_bins_hold_every_row_once_behind_the_shared_ones() -> None:
    last = torch.tensor([7, 9, 6, 30, 8, 8, 12])
    bins = fill(last, shared=5, rows=32)

    assert bins.length % 16 == 0
    assert len(bins.column) == bins.count * bins.length
    heads = bins.class_index.view(bins.count, -1)[:, :5]
    assert (heads == SHARED).all()
    for number, end in enumerate(last.tolist()):
        rows = (bins.class_index == number).nonzero().flatten()
        assert bins.column[rows].tolist() == list(range(5, end + 1))
        assert rows.tolist() == list(range(bins.starts[number], bins.ends[number] + 1))
        assert rows[0] // bins.length == rows[-1] // bins.length
    assert (bins.class_index == PADDING).any()


def test_auto_is_packed_on_a_gpu_and_bad_layouts_are_refused() -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert PlanOptions().chosen(cuda) == "packed"
    assert PlanOptions().chosen(cpu) == "grouped"
    assert PlanOptions(buckets=2).chosen(cuda) == "grouped"
    assert PlanOptions(layout="packed").chosen(cpu) == "packed"
    with pytest.raises(InputError, match='layout must be "auto", "grouped" or "packed", not \'bins\''):
        PromptEncoder(clip(), None, NAMES, n_ctx=4, layout="bins")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="buckets belong to the grouped layout"):
        PromptEncoder(clip(), None, NAMES, n_ctx=4, layout="packed", buckets=2)
