"""A CLIP with random weights and a data set of coloured squares, small enough for many runs in a test.

Run as a script, it is the command line of CoOp on them: `python -m tests.fabricated.runs --epochs 3`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image

from examples.coop import method
from examples.protocol.cli import command
from examples.protocol.data.dataset import Example
from examples.protocol.runs import experiment, finished
from sar_reg.novel import WordList

NAMES = ("amber disc", "blue_tile", "crimson", "dark cube", "emerald", "fuchsia", "golden ring")
WORDS = ("anchor", "basket", "candle", "drum", "engine", "feather", "guitar", "hammer", "island", "jacket")
RECIPE = Path(method.__file__).with_name("recipe.toml")


@dataclass(frozen=True)
class Squares:
    """Seven classes of noisy colours."""

    key: str = "squares"
    classnames: tuple[str, ...] = NAMES

    @property
    def train(self) -> tuple[Example, ...]:
        return self._examples("train", 6)

    @property
    def val(self) -> tuple[Example, ...]:
        return self._examples("val", 2)

    @property
    def test(self) -> tuple[Example, ...]:
        return self._examples("test", 4)

    def _examples(self, part: str, n: int) -> tuple[Example, ...]:
        return tuple(
            Example(f"{part}/{label}/{i}", label, scene=i) for label in range(len(NAMES)) for i in range(n)
        )

    def image(self, example: Example) -> Image.Image:
        part, label, number = example.source.split("/")
        colour = np.random.default_rng(int(label)).integers(0, 256, 3)
        noise = np.random.default_rng([len(part), int(label), int(number)]).normal(0, 40, (40, 32, 3))
        return Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8))


@lru_cache(maxsize=1)
def small_clip() -> tuple[open_clip.CLIP, Any]:
    """Two blocks a side, 32 px, frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(
            32,
            {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 32},
            {"context_length": 24, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
        )
    tokenizer = open_clip.SimpleTokenizer(context_length=24)
    return model.eval().requires_grad_(False), tokenizer


def install(replace: Any = setattr) -> None:
    """Put them in the place of the testbed; `replace` may be pytest's `monkeypatch.setattr`."""
    for module in (experiment, finished):
        replace(module, "load_clip", lambda source, recipe, device: small_clip())
    replace(experiment, "open_source", lambda source, key: Squares())
    replace(experiment, "novel_source", lambda source, held_out: WordList(source.novel or WORDS))


if __name__ == "__main__":
    install()
    command.main(method.CoOp, RECIPE)
