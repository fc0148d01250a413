"""The loss under torch.func: right, or refused in words."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sar_reg import SarRegError, SimilarityAlignmentLoss, similarity_alignment_loss
from tests import ROOT
from tests.sampled_kl.cases import Case, features

# PyTorch's own, at the first use of forward mode in a process.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
PATHS = [(30, "ring"), (30, "independent"), (200, "ring"), (200, "independent")]  # dense, dense, ring, dense
Transform = Callable[[Callable[[torch.Tensor], torch.Tensor], torch.Tensor], Any]


def loss(
    n: int, sampling: str, **options: Any
) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
    learned, target = features(Case(n, 5, 6))

    def function(x: torch.Tensor) -> torch.Tensor:
        return similarity_alignment_loss(
            x, target, temperature=0.05, sample_size=5, sampling=sampling, **options
        )

    return function, learned


TRANSFORMS: dict[str, Transform] = {
    "grad": lambda f, x: torch.func.grad(f)(x),
    "vjp": lambda f, x: torch.func.vjp(f, x)[1](torch.tensor(2.0))[0],
    "vmap": lambda f, x: torch.func.vmap(f)(torch.stack([x, x.sin()])),
    "vmap of grad": lambda f, x: torch.func.vmap(torch.func.grad(f))(torch.stack([x, x.sin()])),
}


@pytest.mark.parametrize(("n", "sampling"), PATHS)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_reverse_mode_and_vmap(name: str, n: int, sampling: str) -> None:
    function, learned = loss(n, sampling)
    reference, _ = loss(n, sampling, impl="reference")
    found, expected = (TRANSFORMS[name](f, learned) for f in (function, reference))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n", "sampling"), PATHS)
def test_jacobian_of_the_rows(n: int, sampling: str) -> None:
    function, learned = loss(n, sampling, reduction="none")
    reference, _ = loss(n, sampling, reduction="none", impl="reference")
    found, expected = (torch.func.jacrev(f)(learned) for f in (function, reference))
    assert found.shape == (n, n, 6)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n", "sampling"), [path for path in PATHS if path != (200, "ring")])
def test_forward_mode_where_it_exists(n: int, sampling: str) -> None:
    function, learned = loss(n, sampling)
    tangent = learned.cos()
    _, found = torch.func.jvp(function, (learned,), (tangent,))
    torch.testing.assert_close(
        found, (torch.func.grad(function)(learned) * tangent).sum(), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("transform", [
    lambda f, x: torch.func.jvp(f, (x,), (x,)),
    lambda f, x: torch.func.jacfwd(f)(x),
    lambda f, x: torch.func.hessian(f)(x),
], ids=["jvp", "jacfwd", "hessian"])  # fmt: skip
def test_forward_mode_on_the_ring_is_refused(transform: Transform) -> None:
    """The operator alone would return a derivative of 0."""
    function, learned = loss(200, "ring")
    with pytest.raises(
        SarRegError, match=r"no forward-mode derivative \(jvp, jacfwd\); use impl='reference'"
    ):
        transform(function, learned)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(learned, learned)
        with pytest.raises(SarRegError, match="no forward-mode derivative"):
            function(dual)


@pytest.mark.filterwarnings("ignore::UserWarning")  # the compiler says what it leaves to eager mode
@pytest.mark.parametrize(("n", "sampling"), [(30, "independent"), (200, "ring")])
def test_forward_mode_inside_a_compiled_function_is_never_zero(n: int, sampling: str) -> None:
    """Traced, the operators' forward-mode derivative would be 0; so the transform runs eagerly."""
    function, learned = loss(n, sampling)
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: torch.func.jvp(function, (x,), (x.cos(),))[1], backend="eager")
    if sampling == "ring":
        with pytest.raises(SarRegError, match="no forward-mode derivative"):
            compiled(learned)
    else:
        expected = (torch.func.grad(function)(learned) * learned.cos()).sum()
        torch.testing.assert_close(compiled(learned), expected, rtol=1e-3, atol=1e-5)


def test_second_derivatives_on_the_ring_are_refused() -> None:
    function, learned = loss(200, "ring")
    with pytest.raises(SarRegError, match="no second derivative; for double backward use impl='reference'"):
        torch.func.grad(lambda x: torch.func.grad(function)(x).square().sum())(learned)


def test_several_blocks() -> None:
    """More than 2,048 classes take checkpointed blocks, which torch.func does not know."""
    learned, target = features(Case(2100, 5, 3))
    grads = [
        torch.func.grad(
            lambda x, impl=impl: similarity_alignment_loss(
                x, target, temperature=0.05, sample_size=5, sampling="independent", impl=impl
            )
        )(learned)
        for impl in ("torch", "reference")
    ]
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-6)


def test_one_function_asks_whether_a_transform_is_active() -> None:
    asking = [
        p.name for p in (ROOT / "sar_reg").rglob("*.py") if "_functorch_transforms_active" in p.read_text()
    ]
    assert asking == ["tracing.py"]


@pytest.mark.parametrize("transform", ["grad", "vjp"])
def test_the_module_names_its_draw_inside_a_gradient(transform: str) -> None:
    learned, target = features(Case(30, 5, 6))
    names = tuple(map(str, range(30)))
    bank = SimpleNamespace(embeddings=target, temperature=0.05, classnames=names)
    sar = SimilarityAlignmentLoss(bank, sample_size=5)
    with pytest.raises(
        SarRegError, match=r"inside grad, vjp and jacrev: name the draw, sar\(text_features, step="
    ):
        TRANSFORMS[transform](sar, learned)
    learned = learned.clone().requires_grad_()
    (expected,) = torch.autograd.grad(sar(learned, step=3), learned)
    found = TRANSFORMS[transform](lambda x: sar(x, step=3), learned)
    torch.testing.assert_close(found, expected * (2 if transform == "vjp" else 1))


def test_batches_of_gradients_are_refused_where_the_loss_is_fused() -> None:
    for n, fused in ((200, True), (30, False)):
        function, learned = loss(n, "ring", reduction="none")
        learned = learned.clone().requires_grad_()
        rows, weights = function(learned), torch.eye(n, dtype=learned.dtype)[:3]
        if fused:
            message = r"^the fused loss has no batched gradient \(is_grads_batched=True, vectorize=True\); use impl="
            with pytest.raises(SarRegError, match=message):
                torch.autograd.grad(rows, learned, weights, is_grads_batched=True)
            continue
        (found,) = torch.autograd.grad(rows, learned, weights, is_grads_batched=True, retain_graph=True)
        for each, weight in zip(found, weights, strict=True):
            torch.testing.assert_close(each, torch.autograd.grad(rows, learned, weight, retain_graph=True)[0])
