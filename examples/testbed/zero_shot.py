"""Zero-shot accuracy of the small CLIP on base and on new classes, as in the README."""

from __future__ import annotations

from collections.abc import Sequence

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from examples.protocol.data.dataset import base_new_split
from examples.testbed.datasets import IconDataset
from examples.testbed.tokenizer import CutTokenizer
from sar_reg.bank import resolve_templates

TEMPLATES = resolve_templates("imagenet")


@torch.no_grad()
def zero_shot(model: open_clip.CLIP, tokenizer: CutTokenizer, dataset: IconDataset) -> tuple[float, float]:
    """Accuracy in percent on the test images of base and of new classes, each among its own classes."""
    base, new = (
        accuracy(
            model.encode_image(dataset.images(part.test)),
            class_features(model, tokenizer, part.classnames),
            torch.tensor([example.label for example in part.test]),
        )
        for part in base_new_split(dataset)
    )
    return base, new


@torch.no_grad()
def class_features(model: open_clip.CLIP, tokenizer: CutTokenizer, classnames: Sequence[str]) -> Tensor:
    """Unit rows `(classes, 128)`: each template's normalised features, averaged and normalised."""
    rows = [
        F.normalize(model.encode_text(tokenizer([t.format(n) for n in classnames])), dim=1) for t in TEMPLATES
    ]
    return F.normalize(torch.stack(rows).mean(0), dim=1)


def accuracy(images: Tensor, classes: Tensor, labels: Tensor) -> float:
    """Percent of the images whose nearest class is the labelled one."""
    return 100 * ((images @ classes.T).argmax(1) == labels).double().mean().item()
