"""The zero-shot check, with a stand-in for CLIP that sees colours and reads numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from examples.protocol.data import base_new_split, open_dataset, published_accuracy
from examples.protocol.data.catalogue import entry_of
from examples.protocol.data.fabricate import fabricate, names_of
from examples.protocol.data.transforms import CLIP_MEAN, CLIP_STD

NAMES = [name.replace("_", " ") for name in names_of("dtd", 4)]


class ColourReader(nn.Module):
    """Takes an image for the class whose red it has; `off` moves the texts' classes."""

    def __init__(self, off: int = 0) -> None:
        super().__init__()
        self.off = off

    def encode_image(self, images: Tensor) -> Tensor:
        red = images[:, 0].mean(dim=(1, 2)) * CLIP_STD[0] + CLIP_MEAN[0]
        return torch.eye(4)[(red * 255 / 60).round().long()]

    def encode_text(self, tokens: Tensor) -> Tensor:
        return torch.eye(4)[(tokens + self.off) % 4]


def tokenizer(texts: list[str]) -> Tensor:
    assert all(text.endswith(" texture.") for text in texts)
    return torch.tensor([NAMES.index(text.removesuffix(" texture.")) for text in texts])


def test_accuracy_is_among_the_names_of_its_half(tmp_path: Path) -> None:
    fabricate(tmp_path, "dtd")
    base, new = base_new_split(open_dataset("dtd", tmp_path, verify=False))
    for half in (base, new):
        assert (
            published_accuracy.accuracy(half, "{} texture.", ColourReader(), tokenizer, batch_size=4) == 100.0
        )
        assert published_accuracy.accuracy(half, "{} texture.", ColourReader(off=2), tokenizer) == 50.0


def test_finding_compares_with_the_published_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fabricate(tmp_path, "dtd")
    finding = published_accuracy.check("dtd", tmp_path, ColourReader(), tokenizer, verify=False)
    assert (finding.verdict, finding.fact) == ("failure", "base 100.00, new 100.00; published 53.24, 59.90")
    monkeypatch.setattr(published_accuracy, "TOLERANCE", 50.0)
    assert published_accuracy.check("dtd", tmp_path, ColourReader(), tokenizer, verify=False).verdict == "ok"
    assert published_accuracy.check("dtd", tmp_path, ColourReader(), tokenizer).verdict == "failure"
    assert published_accuracy.check("imagenet_r", tmp_path, ColourReader(), tokenizer).verdict == "note"
    image = open_dataset("dtd", tmp_path, verify=False).test[0].source
    (tmp_path / "dtd" / "images" / image).unlink()
    damaged = published_accuracy.check("dtd", tmp_path, ColourReader(), tokenizer, verify=False)
    assert (damaged.verdict, f"{image} is missing" in damaged.fact) == ("failure", True)


def test_templates_are_those_of_the_published_numbers() -> None:
    assert published_accuracy.TEMPLATES["dtd"] == "{} texture."
    assert published_accuracy.TEMPLATES["fgvc_aircraft"] == "a photo of a {}, a type of aircraft."
    assert published_accuracy.TEMPLATES["eurosat"] == "a centered satellite photo of {}."
    assert all(entry_of(key).zero_shot for key in published_accuracy.TEMPLATES)
