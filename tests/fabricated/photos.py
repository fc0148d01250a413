"""A folder of photos as a user has it, odd ones among them, and short runs on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from examples.protocol.cli.command import main
from examples.protocol.method import PromptMethod
from examples.protocol.runs import duration
from examples.testbed import open_dataset
from tests import ROOT

FOODS = 5


def write_photos(folder: Path) -> tuple[str, ...]:
    """Five kinds of food, a file per test and training scene, some of them odd; a sixth lies in `new`."""
    food = open_dataset("food")
    names = food.classnames[: FOODS + 1]
    for label, name in enumerate(names):
        place = folder / "photos" / name.replace(" ", "_") if label < FOODS else folder / "new"
        place.mkdir(parents=True, exist_ok=True)
        for number, example in enumerate([e for e in food.train if e.label == label][:12]):
            food.image(example).resize((80, 80)).save(place / f"{label}-{number}.png")
        if label < FOODS:
            (folder / "new").mkdir(exist_ok=True)
            food.image(next(e for e in food.test if e.label == label)).save(
                folder / "new" / f"{label}-test.png"
            )
    first = folder / "photos" / names[0].replace(" ", "_")
    (first / "0-0.png").write_bytes(b"")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.open(first / "0-1.png").transpose(Image.Transpose.ROTATE_90).save(
        first / "0-1.jfif", "JPEG", exif=turned
    )
    (first / ".DS_Store").write_bytes(b"x")
    (folder / "new" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return names


def train(method: type[PromptMethod], place: Path, out: Path, *arguments: str) -> None:
    """The training command on the folder of photos, short."""
    recipe = ROOT / "examples" / method.__name__.lower() / "recipe.toml"
    where = ("--data", str(place), "--dataset", "photos", "--model", "testbed", "--out", str(out))
    short = ("--epochs", "1", "--shots", "4", "--seeds", "1", "--n-novel", "8", "--sample-size", "6")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duration, "REPEATS", 1)
        main(method, recipe, [*where, *short, "--augmentation", "none", *arguments])
