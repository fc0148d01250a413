"""The registered operators under torch.compile and PyTorch's own checks."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from sar_reg import sample_classes, similarity_alignment_loss
from tests.sampled_kl.cases import Case, features


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["plain", "strided"])
def test_opcheck(kind: str, reverse: bool) -> None:
    learned, target = features(Case(12, 4, 6, kind=kind))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    arguments = (learned.requires_grad_(), target, None, order, 4, 0.05, True, reverse, "torch")
    torch.library.opcheck(torch.ops.sar_reg.sampled_kl.default, arguments)
    _, saved = torch.ops.sar_reg.sampled_kl(*arguments)
    saved = (torch.ones(12), learned.detach(), order, saved, 4, 0.05, True, reverse, "torch")
    torch.library.opcheck(torch.ops.sar_reg.sampled_kl_backward.default, saved)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_opcheck_of_the_products() -> None:
    a, b = (torch.randn(3, 4, generator=torch.Generator().manual_seed(i), requires_grad=True) for i in (0, 1))
    torch.library.opcheck(torch.ops.sar_reg.products.default, (a, b))


def test_tracing_sees_the_operators() -> None:
    """A kernel that a Function launches would be missing from the graph; values would become constants."""
    learned, target = features(Case(150, 5, 8))

    def loss(x: torch.Tensor) -> torch.Tensor:
        return similarity_alignment_loss(x, target, temperature=0.05, sample_size=5)

    graph = make_fx(loss)(learned)
    assert "sar_reg.sampled_kl" in graph.code
    torch.testing.assert_close(graph(learned.sin()), loss(learned.sin()))
    with FakeTensorMode() as mode:
        x = mode.from_tensor(learned)
        fake = similarity_alignment_loss(x, mode.from_tensor(target), temperature=0.05, sample_size=5)
    assert fake.shape == ()


@pytest.mark.parametrize("sampling", ["ring", "independent"])
def test_compiles_whole_with_any_number_of_classes(sampling: str) -> None:
    """One graph, and no new one for each N; the same draw and value as without the compiler."""
    torch._dynamo.reset()
    compiled_graphs = []

    def counting_backend(graph, example_inputs):
        compiled_graphs.append(graph)
        return graph.forward

    def loss(x: torch.Tensor, target: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return similarity_alignment_loss(
            x, target, temperature=0.05, sample_size=5, step=step, sampling=sampling
        )

    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend=counting_backend)
    for n in (150, 171, 190, 260):
        learned, target = features(Case(n, 5, 8))
        step = torch.tensor(n)
        x, y = learned.clone().requires_grad_(), learned.clone().requires_grad_()
        value, expected = compiled(x, target, step), loss(y, target, step)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            torch.autograd.grad(value, x), torch.autograd.grad(expected, y), rtol=1e-4, atol=1e-6
        )
    assert len(compiled_graphs) == 1


def test_inductor_draws_the_same_classes() -> None:
    torch._dynamo.reset()

    def rows(x: torch.Tensor, target: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return similarity_alignment_loss(
            x, target, temperature=0.05, sample_size=5, step=step, reduction="none"
        )

    compiled = torch.compile(rows, fullgraph=True, dynamic=True)
    learned, target = features(Case(150, 5, 8))
    for step in (torch.tensor(3), torch.tensor(2**40)):
        torch.testing.assert_close(
            compiled(learned, target, step), rows(learned, target, step), rtol=1e-4, atol=1e-5
        )


def test_inductor_with_a_fixed_number_of_classes() -> None:
    """150 is not a multiple of a vector's length: PyTorch 2.14 compiled the draw so that it wrote past its end."""
    torch._dynamo.reset()
    compiled = torch.compile(lambda step: sample_classes(150, 5, seed=3, step=step), fullgraph=True)
    for step in range(60):
        assert torch.equal(compiled(torch.tensor(step)), sample_classes(150, 5, seed=3, step=step))
