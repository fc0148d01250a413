"""Accuracy on base and new classes, and the harmonic mean of the two."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from examples.protocol.method import PromptMethod
from sar_reg.shapes import Float, Int, Tensor


@torch.no_grad()
def accuracy(
    method: PromptMethod, features: Float[Tensor, "images width"], labels: Int[Tensor, " images"]
) -> float:
    """Percent of images whose class has the largest logit, over all images alike (micro average).

    Args:
        method: with the classes to tell apart.
        features: its image features of the test set.
        labels: 0 … n_base − 1.
    """
    with method.autocast():
        text = method.encode_text()
    predicted = method(image_features=features, text_features=text).argmax(dim=1)
    return percent_equal(predicted, labels)


def percent_equal(predicted: Int[Tensor, " images"], labels: Int[Tensor, " images"]) -> float:
    """Percent of entries that agree, in full precision."""
    return 100.0 * int((predicted.cpu() == labels.cpu()).sum()) / len(labels)


def harmonic_mean(base: float, new: float) -> float:
    """H = 2bn / (b + n), 0 where both are 0.

    >>> round(harmonic_mean(82.69, 63.22), 2)
    71.66
    """
    return 2 * base * new / (base + new) if base + new else 0.0


def summary(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Mean and standard deviation over seeds of base, new and H; H's mean is that **of the means**.

    The standard deviation divides by n − 1; of one seed alone it is NaN.

    Args:
        pairs: (base, new) of each seed.
    """
    values = torch.tensor(pairs, dtype=torch.float64)
    base, new = values.mean(dim=0).tolist()
    each_h = torch.tensor([harmonic_mean(*pair) for pair in pairs], dtype=torch.float64)
    spread = [float(v.std()) if len(pairs) > 1 else float("nan") for v in (*values.T, each_h)]
    names = ("base", "new", "h")
    means = dict(zip(names, (base, new, harmonic_mean(base, new)), strict=True))
    return means | dict(zip((f"{name}_std" for name in names), spread, strict=True))
