"""Opening what a source names: a frozen CLIP with its tokenizer, and a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from examples.protocol.data import open_dataset, open_folder
from examples.protocol.data.broken import without_broken
from examples.protocol.data.catalogue import catalogue
from examples.protocol.data.dataset import Dataset, Example
from examples.protocol.method import Tokenizer
from examples.protocol.recipe import Precision
from examples.protocol.runs.config import RunSource
from examples.protocol.runs.hub import without_retries
from sar_reg.bank import SPECIFIC, resolve_templates
from sar_reg.errors import InputError, did_you_mean, require


def load_clip(source: RunSource, precision: Precision, device: torch.device) -> tuple[Any, Tokenizer]:
    """The frozen model and its tokenizer: the testbed's, or one of open_clip's."""
    if source.model == "testbed":
        if precision == "fp16":
            raise InputError(
                "precision fp16 repeats the released code on real CLIP weights; pass --data FOLDER and another --model"
            )
        from examples.testbed import load_model

        return load_model(device)
    open_clip = require("open_clip", extra="examples")
    known = source.pretrained in open_clip.list_pretrained_tags_by_model(source.model)
    if not known and not Path(source.pretrained).is_file():
        hint = did_you_mean(source.model, set(open_clip.list_models()) - {source.model})
        raise InputError(
            f"open_clip has no weights {source.pretrained!r} for {source.model!r}{hint}; "
            "see python -c 'import open_clip; print(open_clip.list_pretrained())'"
        )
    towers = "fp16" if precision == "fp16" else "fp32"
    try:
        with without_retries():
            model = open_clip.create_model(
                source.model,
                pretrained=source.pretrained,
                precision=towers,
                device=device,
            )
    except Exception as error:  # open_clip does not wrap the errors of its downloads and loaders
        why = str(error).splitlines()[0]
        raise InputError(
            f"the weights {source.pretrained!r} of {source.model!r} could not be loaded ({why}). Without network, "
            "fetch them elsewhere and pass the file with --pretrained FILE, or try the commands with --model testbed"
        ) from error
    return model.eval().requires_grad_(False), open_clip.get_tokenizer(source.model)


def handcrafted_prompts(source: RunSource, *, ensemble: bool = True) -> tuple[str, ...]:
    """The handcrafted prompts; a data set that is not the paper's has ImageNet's."""
    prompts = resolve_templates(source.dataset if source.dataset in SPECIFIC else "imagenet")
    return prompts if ensemble else prompts[-1:]


def open_source(source: RunSource, key: str) -> Dataset:
    """The complete data set."""
    if source.data == "testbed":
        return open_testbed(key, source.split)
    root = Path(source.data)
    if not root.is_dir():
        raise InputError(
            f"there is no folder {root}; pass --data testbed, or the folder that holds the data sets"
        )
    if not (root / key).is_dir() and key not in catalogue():
        raise InputError(
            f'there is no folder {root / key} with images of yours, and no data set of the benchmark is called "{key}"'
            f"{did_you_mean(key, catalogue())}"
        )
    if (root / key).is_dir() and key not in SPECIFIC:
        return without_broken(open_folder(root / key, final=source.final))
    if source.final:
        raise InputError(f"--final is for your own photos; {key} is a data set of the benchmark")
    return open_dataset(key, root)


def open_testbed(key: str, split: str) -> Dataset:
    """One of the data sets that come with this repository."""
    from examples import testbed

    if key not in testbed.DATASETS:
        known = ", ".join(testbed.DATASETS)
        raise InputError(
            f"the testbed has no data set {key!r}; it has: {known}{did_you_mean(key, testbed.DATASETS)}"
        )
    if split not in ("scene", "style"):
        raise InputError(f"the testbed tests on 'scene' or 'style', not {split!r}")
    return CachedDataset(testbed.open_dataset(key, split=split))


class CachedDataset:
    """A data set that keeps the pictures it has opened: the testbed's are small, and drawing them takes time."""

    def __init__(self, dataset: Dataset) -> None:
        self.key = dataset.key
        self.classnames = dataset.classnames
        self.train, self.val, self.test = dataset.train, dataset.val, dataset.test
        self._draw = dataset.image
        self._drawn: dict[Example, Image.Image] = {}

    def image(self, example: Example) -> Image.Image:
        """The example's picture, drawn at its first use."""
        unlabelled = replace(example, label=0)  # base and new classes number their labels from 0
        if unlabelled not in self._drawn:
            self._drawn[unlabelled] = self._draw(example)
        return self._drawn[unlabelled]
