"""Accuracies, the harmonic mean of two of them, and means over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from examples.protocol.method import PromptMethod
from sar_reg.shapes import Float, Int, Tensor


@torch.no_grad()
def text_rows(method: PromptMethod) -> Float[Tensor, "classes width"]:
    """The method's text features of its class names, not normalised."""
    with method.autocast():
        return method.encode_text()


def predict(logits: Float[Tensor, "images classes"], classnames: Sequence[str]) -> Int[Tensor, " images"]:
    """The class with the largest logit; of equal logits, and of classes of one name, the first.

    Classes of one name have one logit up to rounding, which must not decide between them.

    >>> predict(torch.tensor([[0.1, 0.2, 0.1000001], [0.3, 0.2, 0.3000001]]), ["missile", "tank", "missile"])
    tensor([1, 0])
    """
    first: dict[str, int] = {}
    same = [first.setdefault(name, label) for label, name in enumerate(classnames)]
    return logits[:, same].argmax(dim=1)


def percent_equal(predicted: Int[Tensor, " images"], labels: Int[Tensor, " images"]) -> float:
    """Percent of entries that agree, in full precision."""
    return 100.0 * int((predicted.cpu() == labels.cpu()).sum()) / len(labels)


def harmonic_mean(base: float, new: float) -> float:
    """H = 2bn / (b + n), 0 if both are 0.

    >>> round(harmonic_mean(82.69, 63.22), 2)
    71.66
    """
    return 2 * base * new / (base + new) if base + new else 0.0


def summary(results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean over seeds of every accuracy, under its name, and its standard deviation, under `NAME_std`.

    The mean of `h` is the harmonic mean **of the means** of `base` and `new`. The standard deviation divides
    by n − 1; of one seed alone it is NaN.

    Args:
        results: the accuracies of each seed.
    """
    means: dict[str, float] = {}
    for name in results[0]:
        values = torch.tensor([result[name] for result in results], dtype=torch.float64)
        means[name] = float(values.mean())
        means[f"{name}_std"] = float(values.std()) if len(results) > 1 else float("nan")
    if "h" in means:
        means["h"] = harmonic_mean(means["base"], means["new"])
    return means
