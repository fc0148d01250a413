"""Figure 1: class similarities under handcrafted and learned prompts, and t-SNE of the test logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.functional import normalize

from examples.paper.engine import Execution, open_run
from examples.paper.figures import save
from examples.paper.sweep import PlannedRun
from examples.protocol.cli.pictures import pyplot
from examples.protocol.runs.run import Run, features_of
from sar_reg.errors import require
from sar_reg.shapes import Float, Tensor

SHOWN_CLASSES, SHOWN_IMAGES = 40, 600


def draw_similarities(planned: Sequence[PlannedRun], execution: Execution, folder: Path) -> list[Path]:
    """Draw both rows of the figure; runs without learned tensors in the folder are done first."""
    runs = [open_run(run.config, execution) for run in planned]
    for run in runs:
        if run.finished() is None:
            run.start()
    experiment = runs[0].experiment
    names = tuple(name for test in experiment.tests.values() for name in test.classnames)
    handcrafted = torch.cat([experiment.zero_shot_rows(test) for test in experiment.tests.values()])
    texts = {"handcrafted": handcrafted.cpu()}
    texts |= {run.config.title: features_of(run.load(), names).float().cpu() for run in runs}
    images, labels = _test_images(runs[0])
    plt = pyplot()
    scale = require("matplotlib.colors", extra="examples").PowerNorm(0.5, 0, 1)
    figure, axes = plt.subplots(2, len(texts), figsize=(4.2 * len(texts), 8), layout="constrained")
    shown = None
    for (title, text), top, bottom in zip(texts.items(), *axes, strict=True):
        heat = similarities(text, experiment.bank.temperature)[:SHOWN_CLASSES, :SHOWN_CLASSES]
        shown = top.imshow(heat.numpy(), cmap="magma", norm=scale, interpolation="nearest")
        top.set_title(f"{title}: similarities")
        top.set_xlabel("other class")
        top.set_ylabel("class")
        top.set_xticks([])
        top.set_yticks([])
        points = _tsne(normalize(images, dim=1) @ normalize(text, dim=1).T / experiment.bank.temperature)
        bottom.scatter(*points.T.numpy(), c=labels.numpy(), cmap="nipy_spectral", s=5, linewidths=0)
        bottom.set_title(f"{title}: test logits, t-SNE")
        bottom.set_xticks([])
        bottom.set_yticks([])
    figure.colorbar(shown, ax=axes[0], label="share of the row, square root scale", shrink=0.8)
    return save(figure, folder / "fig1")


def similarities(
    text: Float[Tensor, "classes width"], temperature: float
) -> Float[Tensor, "classes classes"]:
    """Eq. 3: softmax over all other classes of cos / τ; zeros on the diagonal."""
    rows = normalize(text.float(), dim=1)
    return (rows @ rows.T / temperature).fill_diagonal_(float("-inf")).softmax(dim=1)


def _test_images(run: Run) -> tuple[Tensor, Tensor]:
    method, features, labels, first = run.load(), [], [], 0
    for name, test in run.experiment.tests.items():
        images, own = run.experiment.test_images(name, method)
        features.append(images)
        labels.append(own + first)
        first += len(test.classnames)
    images, number = torch.cat(features).float().cpu(), torch.cat(labels)
    chosen = torch.linspace(0, len(number) - 1, min(SHOWN_IMAGES, len(number))).long()
    return images[chosen], number[chosen]


def _tsne(logits: Tensor) -> Tensor:
    manifold = require("sklearn.manifold", extra="examples")
    perplexity = min(30, (len(logits) - 1) // 3)
    return torch.from_numpy(
        manifold.TSNE(random_state=0, perplexity=perplexity, init="pca").fit_transform(logits.numpy())
    )
