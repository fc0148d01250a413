"""How many numbers each method learns on ViT-B/16, and in which precision."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIP, convert_weights_to_lp

from examples.protocol.schedule import make_optimizer
from sar_reg.shapes import Tensor
from tests.methods.conftest import METHODS, Build

pytestmark = pytest.mark.filterwarnings("ignore::examples.coprompt.descriptions.DescriptionsMissingWarning")


@pytest.fixture(scope="module")
def vit_b_16() -> CLIP:
    """The published sizes without weights, since only shapes count here."""
    with torch.device("meta"):
        model = CLIP(**open_clip.get_model_config("ViT-B-16-quickgelu"))
    model = model.to_empty(device="cpu").requires_grad_(False)
    for tensor in model.state_dict().values():
        tensor.zero_()
    model.attn_mask = torch.full_like(model.attn_mask, float("-inf")).triu_(1)
    return model


@pytest.mark.parametrize(
    ("name", "settings", "numbers"),
    [
        ("coop", {}, 2_048),
        ("kgcoop", {}, 2_048),
        ("tcp", {"class_block": 8}, 331_904),
        ("maple", {"n_ctx": 2, "depth": 9}, 3_555_072),
        ("coprompt", {"n_ctx": 4, "depth": 12}, 5_014_528),
        ("coprompt", {"n_ctx": 2, "depth": 12}, 5_002_240),
        ("coprompt", {"n_ctx": 4, "depth": 9}, 3_826_432),
    ],
)
def test_learned_numbers(
    name: str, settings: dict[str, int], numbers: int, vit_b_16: CLIP, build: Build
) -> None:
    method = build(name, ["airplane"], 1, model=vit_b_16, **settings)
    assert sum(tensor.numel() for tensor in method.parameters()) == numbers


@pytest.fixture(scope="module")
def half_clip(clip: CLIP) -> Any:
    """The small CLIP as open_clip loads it with precision fp16."""
    model = copy.deepcopy(clip)
    convert_weights_to_lp(model, dtype=torch.float16)
    return model


def test_a_step_in_half_precision(
    name: str, half_clip: Any, build: Build, views: list[Tensor], labels: Tensor
) -> None:
    method = build(name, model=half_clip, precision="fp16")
    full = build(name)
    full.load_learned({key: value.float() for key, value in method.learned().items()})
    step = method.step(views[: method.views], labels)
    step.loss.backward()
    kept_in_fp32 = {key for key, value in method.learned().items() if value.dtype == torch.float32}
    assert kept_in_fp32 == {key for key in method.learned() if key.startswith("deep_")}
    assert step.loss.dtype == torch.float16
    expected = full.step(views[: full.views], labels)
    torch.testing.assert_close(step.terms["ce"].float(), expected.terms["ce"], rtol=0.05, atol=0.05)


def test_a_step_with_the_towers_in_bf16(name: str, build: Build, views: list[Tensor], labels: Tensor) -> None:
    method, full = build(name, precision="bf16"), build(name)
    full.load_learned(method.learned())
    with method.autocast():
        step = method.step(views[: method.views], labels)
    step.loss.backward()
    expected = full.step(views[: full.views], labels)
    assert step.loss.dtype == torch.float32
    assert not torch.equal(step.terms["ce"], expected.terms["ce"]), "nothing ran in bf16"
    torch.testing.assert_close(step.terms["ce"], expected.terms["ce"], rtol=0.1, atol=0.1)
    assert {tensor.grad.dtype for tensor in method.learned().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("dtype", "gradient", "moved"),
    [
        (torch.float16, 4e-3, 0.402),
        (torch.float32, 4e-3, 0.080),
        (torch.float16, 1e-3, 0.100),
        (torch.float32, 1e-3, 0.050),
    ],
)
def test_adam_in_half_precision_is_momentum_descent(
    dtype: torch.dtype, gradient: float, moved: float
) -> None:
    weight = torch.nn.Parameter(torch.zeros(1, dtype=dtype))
    recipe = replace(METHODS["tcp"][1], optimizer="adam", adam_eps=1e-3, weight_decay=0.0)
    optimizer = make_optimizer([weight], recipe)
    for _ in range(50):
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
    assert abs(weight.item()) == pytest.approx(moved, rel=0.03)
