"""For whoever has an NVIDIA GPU: `pytest -m gpu tests/sampled_kl/test_gpu.py -s`. Not run by the authors."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from sar_reg import SimilarityAlignmentLoss, sample_classes, similarity_alignment_loss
from tests.sampled_kl.cases import Case, assert_all_within_budget, features

if not torch.cuda.is_available():
    pytest.skip("no CUDA device", allow_module_level=True)

pytestmark = pytest.mark.gpu
SAMPLINGS = ["ring", "independent"]
SIZES = [(3, 2, 8), (17, 12, 33), (250, 64, 512), (700, 64, 512), (1200, 300, 96)]
KINDS = ["plain", "near", "duplicates", "zero", "strided"]
DIRECTIONS = ["target||learned", "learned||target"]


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("n", "k", "d"), SIZES)
def test_against_the_oracle(n: int, k: int, d: int, dtype: torch.dtype, sampling: str) -> None:
    """The oracle runs on the GPU too, once a case; the budget is that of the CPU's tests."""
    for tau, kind, direction in itertools.product([0.01, 0.07], KINDS, DIRECTIONS):
        case = Case(n, k, d, tau, kind, dtype, direction, sampling)
        assert_all_within_budget(case, [("triton", False), ("triton", True), ("torch", False)], "cuda")


@contextmanager
def no_synchronisation() -> Iterator[None]:
    """Waiting for the GPU raises inside; the mode is left again whatever happens."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype feature")
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype feature")
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_same_classes_as_on_the_cpu_and_no_synchronisation(sampling: str) -> None:
    for n in (60, 701, 9000):
        expected = sample_classes(n, 64 if n > 64 else 20, seed=5, step=12345, sampling=sampling)
        step = torch.tensor(12345, device="cuda")
        x = torch.randn(n, 64, device="cuda", requires_grad=True)
        options = {"temperature": 0.01, "seed": 5, "reduction": "none"}
        with no_synchronisation():
            found = sample_classes(n, expected.shape[1], seed=5, step=step, sampling=sampling)
            rows = similarity_alignment_loss(
                x, x.detach().sin(), sample_size=expected.shape[1], step=step, sampling=sampling, **options
            )
            rows.sum().backward()
        assert torch.equal(found.cpu(), expected)
        # Another draw of the kernel would differ by far more than rounding.
        by_hand = similarity_alignment_loss(x, x.detach().sin(), indices=expected.cuda(), **options)
        torch.testing.assert_close(rows, by_hand, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("sampling", "n"), [("ring", 1200), ("independent", 700), ("independent", 1200)])
def test_two_runs_are_bit_equal(sampling: str, n: int) -> None:
    learned, target = (x.cuda() for x in features(Case(n, 64, 512)))
    grads = []
    for _ in range(2):
        x = learned.clone().requires_grad_()
        similarity_alignment_loss(
            x, target, temperature=0.01, sample_size=64, sampling=sampling, impl="triton"
        ).backward()
        grads.append(x.grad)
    assert torch.equal(grads[0], grads[1])


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_cuda_graph_replays_new_draws(sampling: str) -> None:
    """The step lives on the GPU, so that one captured graph continues the sequence at every replay."""
    learned, target = (x.cuda() for x in features(Case(700, 64, 128)))
    learned.requires_grad_()
    bank = SimpleNamespace(embeddings=target, temperature=0.01, classnames=tuple(map(str, range(700))))
    sar = SimilarityAlignmentLoss(bank, 64, sampling=sampling)

    def once() -> torch.Tensor:
        loss = sar(learned)
        (grad,) = torch.autograd.grad(loss, learned)
        return torch.cat([loss.detach()[None], grad.flatten()])

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        once()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = once()
    sar.step.zero_()
    replayed = []
    for _ in range(3):
        graph.replay()
        replayed.append(captured.clone())
    sar.step.zero_()
    for result in replayed:
        torch.testing.assert_close(once(), result, rtol=0, atol=0)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_matmul_settings_do_not_reach_it(sampling: str) -> None:
    learned, target = (x.cuda() for x in features(Case(300, 64, 512)))
    options = {"temperature": 0.01, "sample_size": 64, "sampling": sampling}
    for impl in ("torch", "triton"):
        expected = similarity_alignment_loss(learned, target, impl=impl, **options)
        torch.set_float32_matmul_precision("high")
        try:
            assert torch.equal(similarity_alignment_loss(learned, target, impl=impl, **options), expected)
        finally:
            torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("n", [250, 700, 1200, 5000, 21000, 100000])
def test_timing(n: int, sampling: str) -> None:
    """Prints milliseconds of forward and backward, launched and as a CUDA graph; asserts only correctness."""
    if sampling == "independent" and n > 21000:
        pytest.skip("2 GB of lists: the ring is meant for that")
    testing = pytest.importorskip("triton.testing")
    learned, target = (x.cuda() for x in features(Case(n, 64, 512, dtype=torch.float16)))
    learned.requires_grad_()

    def once(impl: str) -> torch.Tensor:
        loss = similarity_alignment_loss(
            learned, target, temperature=0.01, sample_size=64, sampling=sampling, reduction="sum", impl=impl
        )
        return torch.autograd.grad(loss, learned)[0]

    impls = ("triton",) if sampling == "independent" and n > 5000 else ("triton", "torch")
    for impl in impls:
        launched = testing.do_bench(lambda impl=impl: once(impl), quantiles=[0.2, 0.5, 0.8])
        print(f"{torch.cuda.get_device_name()} N={n} {sampling} {impl}: p20/p50/p80 {launched} ms", end="")
    print(f"; graph {testing.do_bench_cudagraph(lambda: once('triton'))} ms")
    found = [once(impl).double() for impl in impls]
    rounding = 2 * torch.finfo(torch.float16).eps * found[0].abs().max()
    assert (found[0] - found[-1]).abs().max() <= rounding
