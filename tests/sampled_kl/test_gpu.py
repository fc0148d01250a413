"""For whoever has an NVIDIA GPU: `pytest -m gpu tests/sampled_kl/test_gpu.py -s`. Not run by the authors."""

from __future__ import annotations

import itertools

import pytest
import torch

from sar_reg import sample_classes, similarity_alignment_loss
from tests.sampled_kl.cases import Case, features, oracle

if not torch.cuda.is_available():
    pytest.skip("no CUDA device", allow_module_level=True)

pytestmark = pytest.mark.gpu
SIZES = [(2, 1, 8), (17, 64, 33), (250, 64, 512), (700, 64, 512), (1200, 300, 96)]
KINDS = ["plain", "near", "duplicates", "zero", "strided"]
DIRECTIONS = ["target||learned", "learned||target"]


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("n", "k", "d"), SIZES)
def test_against_the_oracle(n: int, k: int, d: int, dtype: torch.dtype, impl: str) -> None:
    for tau, kind, direction in itertools.product([0.01, 0.07], KINDS, DIRECTIONS):
        compare(Case(n, k, d, tau, kind, dtype, direction), impl)


def compare(case: Case, impl: str) -> None:
    """Tolerances: logits of magnitude 1 / τ in fp32; half-precision gradients to their output rounding."""
    learned, target = features(case)
    weight = torch.linspace(-1, 1, case.n)
    rows, grad = oracle(case, learned, target, weight)
    x = learned.cuda().requires_grad_()
    out = similarity_alignment_loss(
        x, target.cuda(), temperature=case.tau, sample_size=case.k, seed=3, step=5, reduction="none",
        direction=case.direction, impl=impl,
    )  # fmt: skip
    (found,) = torch.autograd.grad((out * weight.cuda()).sum(), x)
    logit = 1e-6 / case.tau
    torch.testing.assert_close(out.double().cpu(), rows, rtol=logit, atol=logit)
    scale = grad.abs().max().item() + 1e-3 / case.tau / 4
    rounding = 2 * torch.finfo(case.dtype).eps if case.dtype != torch.float32 else 0.0
    assert (found.double().cpu() - grad).abs().max().item() <= (2 * logit + rounding) * scale


def test_same_classes_as_on_the_cpu_and_no_synchronisation() -> None:
    step = torch.tensor(12345, device="cuda")
    expected = [sample_classes(701, 64, seed=5, step=12345, sampling=s) for s in ("ring", "independent")]
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = [sample_classes(701, 64, seed=5, step=step, sampling=s) for s in ("ring", "independent")]
        x = torch.randn(701, 64, device="cuda", requires_grad=True)
        similarity_alignment_loss(x, x.detach(), temperature=0.01, sample_size=64, step=step).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(torch.equal(a.cpu(), b) for a, b in zip(found, expected, strict=True))


def test_two_runs_are_bit_equal() -> None:
    learned, target = (x.cuda() for x in features(Case(1200, 64, 512)))
    grads = []
    for _ in range(2):
        x = learned.clone().requires_grad_()
        similarity_alignment_loss(x, target, temperature=0.01, sample_size=64, impl="triton").backward()
        grads.append(x.grad)
    assert torch.equal(grads[0], grads[1])


def test_cuda_graph_replays_new_draws() -> None:
    """The step lives on the GPU, so that one captured graph draws on at every replay."""
    learned, target = (x.cuda() for x in features(Case(700, 64, 128)))
    learned.requires_grad_()
    step = torch.zeros((), dtype=torch.int64, device="cuda")

    def once() -> torch.Tensor:
        loss = similarity_alignment_loss(learned, target, temperature=0.01, sample_size=64, step=step)
        (grad,) = torch.autograd.grad(loss, learned)
        step.add_(1)
        return torch.cat([loss.detach()[None], grad.flatten()])

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        once()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = once()
    step.zero_()
    replayed = []
    for _ in range(3):
        graph.replay()
        replayed.append(captured.clone())
    step.zero_()
    for result in replayed:
        torch.testing.assert_close(once(), result, rtol=0, atol=0)


@pytest.mark.parametrize("n", [250, 700, 1200, 5000, 21000, 100000])
def test_timing(n: int) -> None:
    """Prints milliseconds of forward and backward, launched and as a CUDA graph; asserts only correctness."""
    testing = pytest.importorskip("triton.testing")
    learned, target = (x.cuda() for x in features(Case(n, 64, 512, dtype=torch.float16)))
    learned.requires_grad_()

    def once(impl: str) -> torch.Tensor:
        loss = similarity_alignment_loss(learned, target, temperature=0.01, sample_size=64, impl=impl)
        return torch.autograd.grad(loss, learned)[0]

    for impl in ("triton", "torch"):
        launched = testing.do_bench(lambda impl=impl: once(impl), quantiles=[0.2, 0.5, 0.8])
        print(f"{torch.cuda.get_device_name()} N={n} {impl}: launched p20/p50/p80 {launched} ms", end="")
    print(f"; graph {testing.do_bench_cudagraph(lambda: once('triton'))} ms")
    torch.testing.assert_close(once("triton"), once("torch"), rtol=2e-2, atol=1e-5)
