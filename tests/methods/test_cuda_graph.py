"""Training steps of each method on a GPU: a fixed number of operations, no host reads, and replays as CUDA graphs.

On a CPU the graphs are recorded ones, see `tests.conftest`.
"""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from benchmarks.operations import Operations
from examples.protocol.captured_step import StepGraph
from examples.protocol.data.images import Batch
from examples.protocol.schedule import make_optimizer, set_rate
from examples.protocol.training import train_step
from sar_reg import SarRegError, SimilarityAlignmentLoss
from sar_reg.errors import InputError
from tests.methods.conftest import BASE, METHODS, NOVEL, Build


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout that a GPU would have."""
    monkeypatch.setattr("sar_reg.prompting.prefix.plan.PlanOptions.chosen", lambda *_: "packed")


@pytest.fixture
def descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """CoPrompt's sentences, two for each class."""
    monkeypatch.setattr(
        "examples.coprompt.method.find_descriptions",
        lambda _path, _dataset, names: [[f"a {name}.", f"the {name}."] for name in names],
    )


@pytest.fixture
def graphs(graph_device: torch.device, packed: None) -> torch.device:
    """A device on which steps can be captured."""
    return graph_device


def _sar(method: Any, sampling: Any) -> SimilarityAlignmentLoss:
    generator = torch.Generator().manual_seed(5)
    rows = torch.randn(len(method.classnames), 32, generator=generator)
    bank = SimpleNamespace(embeddings=rows, temperature=0.01, classnames=method.classnames)
    return SimilarityAlignmentLoss(bank, 3, sampling=sampling).to(method.tower.device)


def _batches(device: torch.device, count: int, *, features: bool = False) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    batches = []
    for _ in range(count):
        views = [torch.randn(5, 3, 16, 16, generator=generator) for _ in range(2)]
        labels = torch.randint(0, len(BASE), (5,), generator=generator)
        kept = torch.randn(5, 32, generator=generator) if features else None
        batches.append(Batch([] if features else views, labels, kept, 5).to(device))
    return batches


def _steps(
    method: Any, sar: SimilarityAlignmentLoss | None, batches: list[Batch], graphed: bool
) -> tuple[list[dict[str, Tensor]], StepGraph | None]:
    """The terms of each step; the learned tensors are trained in place."""
    graph = StepGraph(method, sar, method.recipe) if graphed else None
    optimizer = make_optimizer(method.learned().values(), method.recipe)
    random.seed(3)
    terms: list[dict[str, Tensor]] = []
    for number, batch in enumerate(batches):
        set_rate(optimizer, 0.01 / (1 + number))
        view = Batch(batch.images[: method.views], batch.labels, batch.features, batch.whole)
        terms.append(train_step(method, sar, view, optimizer, method.recipe, graph=graph))
    return terms, graph


@pytest.mark.usefixtures("descriptions")
@pytest.mark.parametrize(
    ("precision", "sampling"), [("fp32", "independent"), ("fp32", "ring"), ("fp32", None), ("bf16", "ring")]
)
def test_replayed_steps_train_as_others_do(
    name: str, precision: Any, sampling: Any, build: Build, graphs: torch.device
) -> None:
    settings = {"precision": precision, "optimizer": "adam" if sampling == "ring" else "sgd"}
    torch.manual_seed(0)
    usual = build(name, **settings)
    graphed = build(name, **settings)
    graphed.load_learned(usual.learned())
    found, counters = [], []
    for method, on in ((usual, False), (graphed, True)):
        sar = _sar(method, sampling) if sampling else None
        terms, graph = _steps(method, sar, _batches(graphs, 4), on)
        found.append(terms)
        counters.append(0 if sar is None else int(sar.step))
    assert counters == [4 if sampling else 0] * 2
    assert graph is not None
    assert graph._graph._calls == 4
    for one, other in zip(*found, strict=True):
        assert list(one) == list(other)
        for term in one:
            torch.testing.assert_close(one[term], other[term], rtol=1e-4, atol=1e-5)
    moved = False
    for key, tensor in usual.learned().items():
        torch.testing.assert_close(graphed.learned()[key], tensor, rtol=1e-4, atol=1e-6)
        moved |= not torch.equal(tensor, build(name, **settings).learned()[key])
    assert moved


@pytest.mark.parametrize("method", ["coop", "kgcoop", "tcp"])
def test_kept_image_features(method: str, build: Build, graphs: torch.device) -> None:
    usual = build(method)
    graphed = build(method)
    graphed.load_learned(usual.learned())
    for each, on in ((usual, False), (graphed, True)):
        _steps(each, _sar(each, "ring"), _batches(graphs, 3, features=True), on)
    for key, tensor in usual.learned().items():
        torch.testing.assert_close(graphed.learned()[key], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("descriptions")
def test_coprompt_draws_in_every_replay(
    build: Build, graphs: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = build("coprompt")
    numbers = iter([0, 1, 1, 0])
    monkeypatch.setattr("random.randrange", lambda n: next(numbers))
    batches = _batches(graphs, 1) * 4
    (first, second, third, fourth), _ = _steps(method, None, batches, True)
    assert first["reg_text"] != second["reg_text"]
    # the learning rates are small, so equal descriptions give nearly equal terms
    gap = (first["reg_text"] - second["reg_text"]).abs()
    assert (second["reg_text"] - third["reg_text"]).abs() < gap
    assert (first["reg_text"] - fourth["reg_text"]).abs() < gap


def test_batches_of_other_shapes_and_replaced_tensors_are_refused(build: Build, graphs: torch.device) -> None:
    method = build("coop")
    graph = StepGraph(method, None, method.recipe)
    optimizer = make_optimizer(method.learned().values(), method.recipe)
    (batch,) = _batches(graphs, 1)
    train_step(method, None, batch, optimizer, method.recipe, graph=graph)
    for other, message in (
        (
            Batch([view[:3] for view in batch.images], batch.labels[:3], None, 5),
            r"captured with inputs \(5, 3, 16, 16\) float32, .*\(5,\) int64, and this call has \(3, .*leave --cuda",
        ),
        (
            Batch(batch.images, batch.labels, None, 10),
            "captured with images in a batch 5, and this call has 10: keep it the same, or leave --cuda-graph out",
        ),
    ):
        with pytest.raises(InputError, match=message):
            train_step(method, None, other, optimizer, method.recipe, graph=graph)
    method.ctx.data = method.ctx.data.clone()
    with pytest.raises(InputError, match="weights that the CUDA graph reads were changed, moved or replaced"):
        train_step(method, None, batch, optimizer, method.recipe, graph=graph)


def test_a_step_that_reads_from_the_device_is_refused(
    build: Build, graphs: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = build("coop")
    usual = type(method).classify
    monkeypatch.setattr(
        type(method), "classify", lambda *given: usual(*given) * float(given[1].detach().sum() * 0 + 1)
    )
    with pytest.raises(
        SarRegError, match=r"could not be captured as a CUDA graph \(.*leave --cuda-graph out"
    ):
        _steps(method, None, _batches(graphs, 1), True)


def test_what_cannot_be_captured_is_refused(build: Build, graphs: torch.device) -> None:
    method = build("coop", accumulate=2)
    with pytest.raises(InputError, match="--accumulate 2 cuts it into parts: leave one of them out"):
        StepGraph(method, None, method.recipe)
    method = build("coop")
    hook = method.model.transformer.register_forward_hook(lambda *_: None)
    try:
        with pytest.raises(InputError, match=r"encoded in full: .*has hooks; leave --cuda-graph out"):
            StepGraph(build("coop"), None, method.recipe)
    finally:
        hook.remove()


@pytest.mark.parametrize("method", METHODS)
def test_a_cpu_is_refused(method: str, build: Build) -> None:
    built = build(method, BASE + NOVEL)
    with pytest.raises(
        InputError, match="--cuda-graph needs a CUDA device, and the model is on cpu: move it there, or leave"
    ):
        StepGraph(built, None, built.recipe)


def _operations(
    build: Build, name: str, views: list[torch.Tensor], classes: int, *, with_sar: bool, **settings: Any
) -> int:
    """Operations of one step after the first; those for which the host would have to wait raise."""
    names = open_clip.IMAGENET_CLASSNAMES[:classes]
    method = build(name, names, n_base=20, **settings)
    target = torch.nn.functional.normalize(torch.randn(classes, 32), dim=-1)
    bank = SimpleNamespace(embeddings=target, temperature=0.01, classnames=tuple(names))
    sar = SimilarityAlignmentLoss(bank, sample_size=16, sampling="ring") if with_sar else None
    optimizer = make_optimizer(method.learned().values(), method.recipe)
    batch = Batch(views[: method.views], torch.tensor([0, 1, 2, 3, 19]), None, 5)
    train_step(method, sar, batch, optimizer, method.recipe)
    with Operations(refuse_reads=True) as operations:
        train_step(method, sar, batch.to(method.tower.device), optimizer, method.recipe)
    return operations.total


@pytest.mark.usefixtures("packed", "descriptions")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_reads_nothing_and_costs_the_same_for_any_number_of_classes(
    name: str, precision: Any, build: Build, views: list[torch.Tensor]
) -> None:
    few, many = (
        _operations(build, name, views, classes, with_sar=False, precision=precision) for classes in (60, 700)
    )
    assert few == many
    # the loss runs its implementation for CPUs here, whose operations depend on the number of classes
    assert _operations(build, name, views, 60, with_sar=True, precision=precision) > few


def test_the_count_refuses_what_the_host_would_wait_for() -> None:
    x = torch.tensor([1.0, 0.0])
    for read in (
        lambda: x.sum().item(),
        lambda: x.nonzero(),
        lambda: x[x > 0],
        lambda: x.unique(),
        lambda: torch.equal(x, x),
        lambda: x.masked_select(x > 0),
    ):
        with Operations(refuse_reads=True), pytest.raises(AssertionError, match="makes the host wait"):
            read()
