"""What a training step of each method sends to the device: the same count for 60 and 700 classes, no host reads."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import torch

from benchmarks.operations import Operations
from examples.protocol.data.images import Batch
from examples.protocol.schedule import make_optimizer
from examples.protocol.training import train_step
from sar_reg import SimilarityAlignmentLoss
from tests.methods.conftest import Build


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
