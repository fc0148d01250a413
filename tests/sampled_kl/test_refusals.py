"""Every message of the function: what was expected, what came, what to do."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch

from sar_reg import SarRegError, similarity_alignment_loss
from sar_reg.errors import InputError

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
PAIRS = torch.tensor([[1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 1]])


@pytest.mark.parametrize(("learned", "target", "message"), [
    (X[0], X[0], r"learned features must have shape \(classes, width\), not \(4,\)"),
    (X, X[None], r"target features must have shape \(classes, width\), not \(1, 6, 4\)"),
    (X.long(), X, r"learned features must be floating point, not torch.int64; convert with .float\(\)"),
    (X.tolist(), X, r"learned features must be a dense tensor \(classes, width\), not list"),
    (X, X.to_sparse(), "target features must be a dense tensor .* not torch.sparse_coo"),
    (X.to(torch.float8_e5m2), X, "must be floating point, not torch.float8_e5m2"),
    (X, X.bool(), "target features must be floating point, not torch.bool"),
    (X[:5], X, r"shape \(5, 4\) but target has \(6, 4\); both need one row per class in the same order"),
    (X[:, :3], X, r"shape \(6, 3\) but target has \(6, 4\)"),
    (X[:1], X[:1], "at least 2 classes, not 1"),
    (X[:, :0], X[:, :0], "at least 1 wide"),
    (X.to("meta"), X, r"learned features are on meta but target is on cpu; move one with .to\(\)"),
    (X, X.clone().requires_grad_(), r"must not require grad; pass target.detach\(\)"),
])  # fmt: skip
def test_features(learned: torch.Tensor, target: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        similarity_alignment_loss(learned, target, temperature=0.01)


@pytest.mark.parametrize(("options", "message"), [
    ({"sample_size": 0}, "sample_size must be an int of 1 or more, or None for all other classes, not 0"),
    ({"sample_size": -3}, "of 1 or more, or None for all other classes, not -3"),
    ({"sample_size": 2.0}, r"sample_size must be an int of 1 or more, or None for all other classes, not 2\.0"),
    ({"sample_size": True}, "must be an int of 1 or more, or None .* not True"),
    ({"temperature": 0.0}, r"must be a positive, finite number \(CLIP: 1 / exp\(logit_scale\)\), not 0\.0"),
    ({"temperature": float("nan")}, "temperature must be a positive, finite number .* not nan"),
    ({"temperature": torch.tensor(0.01)}, r"not tensor\(0\.0100\); for a tensor, pass tensor\.item\(\)"),
    ({"sampling": "block"}, "sampling must be one of 'ring', 'independent', not 'block'"),
    ({"reduction": "batchmean"}, "reduction must be one of 'mean', 'sum', 'none', not 'batchmean'"),
    ({"direction": "both"}, r"direction must be one of 'target\|\|learned', 'learned\|\|target', not 'both'"),
    ({"impl": "cuda"}, "impl must be one of 'auto', 'reference', 'torch', 'triton', not 'cuda'"),
    ({"indices": PAIRS, "sample_size": 2}, "sample_size to draw classes, or indices to choose them, not both"),
    ({"indices": PAIRS[:5]}, r"indices must be int64 or int32 of shape \(6, K\), .* of shape \(5, 2\)"),
    ({"indices": PAIRS.tolist()}, r"indices must be a dense tensor \(6, K\), not list"),
    ({"indices": PAIRS.float()}, "not torch.float32 of shape"),
    ({"indices": PAIRS[:, :0]}, "at least 1 other class per row, but K is 0"),
    ({"indices": PAIRS.to("meta")}, "indices are on meta but features on cpu; move them there"),
    ({"indices": PAIRS + 5}, r"indices must lie in 0..5, but reach from 5 to 7"),
    ({"indices": PAIRS - 1}, r"indices must lie in 0..5, but reach from -1 to 1"),
    ({"indices": PAIRS.flip(0)}, r"hold.* the class itself \(row 0\); remove it"),
    ({"impl": "triton", "indices": PAIRS}, "they do not take indices=; use impl='auto' or 'torch'"),
    ({"temperature": "0.01"}, r"must be a positive, finite number .* not '0\.01'; for"),
    ({"temperature": None}, "must be a positive, finite number .* not None"),
    ({"temperature": True}, "must be a positive, finite number .* not True"),
    ({"seed": "0"}, r"seed must be an int, not '0'$"),
    ({"sample_size": torch.tensor(2)}, r"sample_size must be an int of 1 or more, or None .* not tensor\(2\)"),
    ({"step": torch.tensor(2, device="meta")}, "step is on meta, but the classes are drawn on cpu; move it there"),
    ({"step": torch.tensor(2, device="meta"), "sample_size": 2}, "step is on meta, but the classes are drawn on cpu"),
])  # fmt: skip
def test_options(options: dict[str, Any], message: str) -> None:
    if options.get("impl") == "triton" and importlib.util.find_spec("triton") is None:
        message = "the package triton is not installed"
    with pytest.raises(InputError, match=message):
        similarity_alignment_loss(X, X, **({"temperature": 0.01} | options))


def test_forced_triton_on_the_cpu_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr("sar_reg.sampled_kl.api._TRITON_INSTALLED", True)
    with pytest.raises(
        InputError, match="impl='triton' cannot run here: the features are on cpu, not on a CUDA GPU"
    ):
        similarity_alignment_loss(X, X, temperature=0.01, impl="triton")
    monkeypatch.setattr("sar_reg.sampled_kl.api._TRITON_INSTALLED", False)
    with pytest.raises(InputError, match="the package triton is not installed; use impl='auto' or 'torch'"):
        similarity_alignment_loss(X, X, temperature=0.01, impl="triton")


def test_what_auto_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    from sar_reg.sampled_kl.api import choose_implementation

    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr("sar_reg.sampled_kl.api._TRITON_INSTALLED", True)
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    half, double = (torch.bfloat16, torch.float32), (torch.float64, torch.float32)
    for sets in ("ring", "independent"):
        assert choose_implementation("auto", cuda, half, 64, sets) == "triton"
        assert choose_implementation("auto", cpu, half, 64, sets) == "torch"
        assert choose_implementation("auto", cuda, double, 64, sets) == "torch"
        assert choose_implementation("auto", cuda, half, 5000, sets) == "torch"
        assert choose_implementation("triton", cuda, half, 5000, sets) == "triton"
    assert choose_implementation("auto", cuda, half, 64, "given") == "torch"
    with pytest.raises(InputError, match="float64 features are for checking and have no compiled kernel"):
        choose_implementation("triton", cuda, double, 64, "ring")
    monkeypatch.setattr("sar_reg.sampled_kl.api._TRITON_INSTALLED", False)
    assert choose_implementation("auto", cuda, half, 64, "ring") == "torch"


def test_one_other_class_warns() -> None:
    for features, size in ((X[:2], None), (X[:2], 64), (X, 1)):
        with pytest.warns(
            UserWarning, match="loss and its gradient are 0 for any features; use at least 3 classes"
        ):
            assert similarity_alignment_loss(features, features.sin(), temperature=0.1, sample_size=size) == 0


def test_indices_are_checked_on_the_device_where_reading_them_would_wait() -> None:
    """Stands in for CUDA: while compiling, values are not read by the host either."""
    torch._dynamo.reset()
    compiled = torch.compile(similarity_alignment_loss, backend="eager", fullgraph=True)
    compiled(X, X, temperature=0.1, indices=PAIRS)
    with pytest.raises(RuntimeError, match="some row holds the class itself"):
        compiled(X, X, temperature=0.1, indices=PAIRS.flip(0))


def test_numpy_numbers() -> None:
    options = {
        "temperature": np.float32(0.125),
        "sample_size": np.int64(2),
        "seed": np.int32(3),
        "step": np.uint8(4),
    }
    found = similarity_alignment_loss(X, X.sin(), **options)
    assert found == similarity_alignment_loss(X, X.sin(), temperature=0.125, sample_size=2, seed=3, step=4)


def test_second_derivative_on_the_ring() -> None:
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    target = x.detach() + 0.1
    loss = similarity_alignment_loss(x, target, temperature=0.1, sample_size=3)
    (grad,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(
        SarRegError, match="has no second derivative; for double backward use impl='reference'"
    ):
        grad.square().sum().backward()
    loss = similarity_alignment_loss(x, target, temperature=0.1, sample_size=3, impl="reference")
    (grad,) = torch.autograd.grad(loss, x, create_graph=True)
    grad.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
