"""Accuracy of CLIP before any training, beside the published one: a test of everything but training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from examples.protocol.data import base_new_split, open_dataset
from examples.protocol.data.catalogue import entry_of
from examples.protocol.data.dataset import Dataset
from examples.protocol.data.transforms import build, pixels_of
from sar_reg.bank import SPECIFIC
from sar_reg.class_names import spoken
from sar_reg.cli.doctor import Finding
from sar_reg.errors import InputError

# the published numbers were made with the templates of CoOp's code; two differ from the paper's
TEMPLATES = {**SPECIFIC, "dtd": "{} texture.", "fgvc_aircraft": "a photo of a {}, a type of aircraft."}
TOLERANCE = 1.0


def check(key: str, root: Path, model: Any, tokenizer: Any, *, verify: bool = True) -> Finding:
    """Classify the test images of base and new classes, each among its own names."""
    subject, published = f"{key}: zero-shot", entry_of(key).zero_shot
    if published is None:
        return Finding(subject, "note", "no published base and new accuracy to compare with")
    try:
        halves = base_new_split(open_dataset(key, root, verify=verify))
        base, new = (accuracy(half, TEMPLATES[key], model, tokenizer) for half in halves)
    except InputError as error:  # also of an image that is missing or damaged
        return Finding(subject, "failure", str(error))
    fact = f"base {base:.2f}, new {new:.2f}; published {published[0]:.2f}, {published[1]:.2f}"
    if max(abs(base - published[0]), abs(new - published[1])) <= TOLERANCE:
        return Finding(subject, "ok", fact)
    advice = "check the model (QuickGELU?), the split file and the class names before training anything"
    return Finding(subject, "failure", fact, advice)


@torch.no_grad()
def accuracy(dataset: Dataset, template: str, model: Any, tokenizer: Any, *, batch_size: int = 100) -> float:
    """Percent of test images whose nearest name, in `template`, is the right one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).eval()
    texts = _encode_names(dataset.classnames, template, model, tokenizer, device)
    transform, right = build("none", pixels_of(model)), 0
    for start in range(0, len(dataset.test), batch_size):
        examples = dataset.test[start : start + batch_size]
        images = torch.stack([transform(dataset.image(example)) for example in examples]).to(device)
        nearest = (normalize(model.encode_image(images), dim=-1) @ texts.T).argmax(dim=-1).cpu()
        right += int((nearest == torch.tensor([example.label for example in examples])).sum())
    return 100 * right / len(dataset.test)


def _encode_names(
    names: Sequence[str], template: str, model: Any, tokenizer: Any, device: torch.device
) -> Tensor:
    tokens = tokenizer([template.format(spoken(name)) for name in names]).to(device)
    return normalize(torch.cat([model.encode_text(part) for part in tokens.split(100)]), dim=-1)
