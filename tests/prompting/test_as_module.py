"""The encoder as a part of other programs: modules, copies, threads, compilers."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sar_reg import PromptEncoder
from sar_reg.errors import InputError
from tests.prompting.models import NAMES, WIDTH, clip, learnable
from tests.prompting.official import pulled, text_features

CAUSAL = pytest.mark.parametrize("causal", [True, False])


class Method(nn.Module):
    """A user's module: a learned context beside the encoder."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
        self.context = nn.Parameter(learnable(4, WIDTH).detach())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return images @ self.encoder(self.context).T


def test_the_frozen_weights_are_no_parameters_of_the_module_around_it() -> None:
    method = Method(clip())
    assert list(method.state_dict()) == ["context"]
    assert [name for name, _ in method.named_parameters()] == ["context"]
    assert list(method.encoder.buffers()) == []


@CAUSAL
def test_moving_the_module_around_it_moves_the_model_and_the_plans(causal: bool) -> None:
    model = clip(no_causal_mask=not causal)
    method = Method(model)
    images = torch.ones(2, 16)

    method.to(torch.float32)
    features = method(images)
    method.to("meta")

    assert features.dtype == torch.float32
    assert {weight.device.type for weight in model.parameters()} == {"meta"}
    assert method.encoder.tower.device.type == method.encoder.tokens.device.type == "meta"
    assert method(images.to("meta")).shape == (2, 6)


@CAUSAL
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copy_has_a_model_of_its_own(causal: bool, how: str) -> None:
    method = Method(clip(no_causal_mask=not causal))
    images = torch.ones(2, 16, dtype=torch.float64)
    before = method(images)

    other = copy.deepcopy(method) if how == "deepcopy" else pickle.loads(pickle.dumps(method))

    assert torch.equal(other(images), before)
    ours, theirs = ({id(w) for w in m.encoder.tower.model.parameters()} for m in (method, other))
    assert not ours & theirs
    with torch.no_grad():
        for weight in method.encoder.tower.model.parameters():
            weight.mul_(1.1)
    assert torch.equal(other(images), before)
    assert not torch.allclose(method(images), before)
    expected = text_features(method.encoder.tower.model, NAMES, method.context, template="{}.")
    torch.testing.assert_close(method.encoder(method.context), expected, atol=1e-10, rtol=1e-10)


def test_a_copy_of_a_module_with_the_model_in_it_uses_the_copied_model() -> None:
    method = Method(clip())
    method.clip = method.encoder.tower.model
    other = copy.deepcopy(method)
    assert other.encoder.tower.model is other.clip is not method.clip


@CAUSAL
def test_weights_loaded_after_the_encoder_was_made_count(causal: bool) -> None:
    model, other = clip(no_causal_mask=not causal), clip(no_causal_mask=not causal)
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(1.05)
    context = learnable(4, WIDTH)
    expected = PromptEncoder(other, None, NAMES, n_ctx=4)(context)

    for assign in (False, True):
        changed = copy.deepcopy(model)
        encoder = PromptEncoder(changed, None, NAMES, n_ctx=4)
        changed.load_state_dict(other.state_dict(), assign=assign)
        torch.testing.assert_close(encoder(context), expected, atol=1e-12, rtol=1e-12)
        assert encoder.tower.temperature == pytest.approx(1 / float(other.logit_scale.detach().exp()))


@CAUSAL
def test_threads_share_an_encoder_and_leave_the_model_alone(causal: bool) -> None:
    # weights that require gradients: nothing may be swapped in the shared model meanwhile
    model = clip(no_causal_mask=not causal, width=8, layers=2)
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    contexts = [learnable(4, 8, seed=seed) for seed in range(3)]
    expected = [pulled(encoder(context), context) for context in contexts]
    wrong: list[Any] = []

    def work(number: int) -> None:
        for _ in range(15):
            try:
                found = pulled(encoder(contexts[number]), contexts[number])
                wrong.extend(a for a, b in zip(found, expected[number], strict=True) if not torch.equal(a, b))
            except Exception as error:
                wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert not wrong
    assert all(isinstance(weight, nn.Parameter) and weight.requires_grad for weight in model.parameters())


@CAUSAL
@pytest.mark.parametrize("kind", ["shared", "class-specific", "deep"])
def test_user_code_around_it_compiles_into_one_graph_at_its_first_call(causal: bool, kind: str) -> None:
    if not causal and torch.__version__ < (2, 13):
        pytest.skip("torch.compile before PyTorch 2.13 does not trace the items of a module's __dict__")
    encoder = PromptEncoder(clip(no_causal_mask=not causal, width=8, layers=2), None, NAMES[:3], n_ctx=2)
    context = learnable(*((3, 2, 8) if kind == "class-specific" else (2, 8)))
    deep = [learnable(2, 8, seed=1)] if kind == "deep" else None

    def loss(context: torch.Tensor) -> torch.Tensor:
        return encoder(context, deep).square().sum()

    compiled = torch.compile(loss, backend="eager", fullgraph=True)

    (found,) = torch.autograd.grad(compiled(context), context)
    (expected,) = torch.autograd.grad(loss(context), context)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


@CAUSAL
@pytest.mark.parametrize("strict", [True, False])
def test_a_module_with_an_encoder_can_be_exported(causal: bool, strict: bool) -> None:
    if causal and torch.__version__ < (2, 14):
        pytest.skip("torch.export before PyTorch 2.14 raises a KeyError for the token table")
    if strict and torch.__version__ < (2, 13):
        pytest.skip("strict export before PyTorch 2.13 does not trace the items of a module's __dict__")
    method = Method(clip(no_causal_mask=not causal, layers=2))
    images = torch.ones(2, 16, dtype=torch.float64)

    exported = torch.export.export(method, (images,), strict=strict)

    torch.testing.assert_close(exported.module()(images), method(images), atol=1e-12, rtol=1e-12)


def test_fake_tensors_give_shapes_where_the_mode_allows_real_weights() -> None:
    encoder = PromptEncoder(clip(), None, NAMES, n_ctx=4)
    for allowed in (True, False):
        mode = FakeTensorMode(allow_non_fake_inputs=allowed)
        context = mode.from_tensor(learnable(4, WIDTH).detach())
        with mode:
            if allowed:
                assert encoder(context).shape == (6, 16)
            else:
                with pytest.raises(InputError, match=r"use FakeTensorMode\(allow_non_fake_inputs=True\)$"):
                    encoder(context)


def test_names_may_come_as_an_array() -> None:
    encoder = PromptEncoder(clip(), None, np.array(NAMES), n_ctx=4)
    assert encoder.classnames == NAMES
    assert all(type(name) is str for name in encoder.classnames)


def test_a_patched_forward_runs_without_reaching_the_weights() -> None:
    model = clip(no_causal_mask=True)
    block = model.transformer.resblocks[1]
    original = block.forward
    block.forward = lambda *args, **kwargs: original(*args, **kwargs) * 1.5
    context = learnable(4, WIDTH)
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)

    features = encoder(context)
    features.sum().backward()

    expected = text_features(model, NAMES, context, template="{}.")
    torch.testing.assert_close(features, expected, atol=1e-10, rtol=1e-10)
    assert all(weight.grad is None for weight in model.parameters())
