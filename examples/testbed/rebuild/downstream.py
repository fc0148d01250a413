"""Pack the downstream data sets: sheets of held-out drawings, class names, novel words."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from examples.testbed.datasets import DRAWING_SIZE
from examples.testbed.model import DATA
from examples.testbed.rebuild.concepts import Concept, held_out, is_downstream, plain
from examples.testbed.rebuild.material import Material
from examples.testbed.rebuild.raster import draw_all
from sar_reg.files import write_atomic

# Unicode's group and WordNet's kinds of each data set; the kinds are where its novel words come from.
GROUPS = {
    "animals": ("animals_nature", ("animal", "plant")),
    "food": ("food_drink", ("food", "plant", "substance")),
    "travel": ("travel_places", ("place", "object", "natural thing", "natural event")),
    "objects": ("objects", ("object",)),
    "activities": ("activities", ("activity", "object")),
    "smileys": ("smileys_emotion", ("body part", "person", "activity", "animal")),
}
NOVEL_WORDS = 400
COLUMNS = 16


def pack(work: Path, made: Material) -> None:
    """Write `datasets.json`, `words.txt` and one lossless WebP sheet a data set."""
    index = {name: _pack_one(work, made, name) for name in GROUPS}
    write_atomic(DATA / "datasets.json", json.dumps(index, indent=0, ensure_ascii=False) + "\n")
    write_atomic(
        DATA / "words.txt", "".join(f"{word}\n" for word in sorted(w.text for w in made.words if w.kind))
    )


def _pack_one(work: Path, made: Material, name: str) -> dict[str, list[str] | list[int]]:
    group, kinds = GROUPS[name]
    shown = [concept for concept in made.concepts if concept.group == group and is_downstream(concept)]
    classes = sorted(shown, key=lambda concept: concept.name)
    icons = [(label, icon) for label, concept in enumerate(classes) for icon in held_out(concept)]
    _write_sheet(DATA / f"{name}.webp", draw_all(work, [icon for _, icon in icons]))
    return {
        "classnames": [concept.name for concept in classes],
        "labels": [label for label, _ in icons],
        "sources": ["/".join(icon) for _, icon in icons],
        "novel": _novel_words(made, classes, kinds),
    }


def _novel_words(made: Material, classes: list[Concept], kinds: tuple[str, ...]) -> list[str]:
    """Nouns of the kinds, the nearest to any base name first, no class name among them."""
    position = {word.text: i for i, word in enumerate(made.words)}
    base = [position[concept.name] for concept in classes[: math.ceil(len(classes) / 2)]]
    taken = {plain(concept.name) for concept in classes}
    taken |= {name + "s" for name in taken}
    chosen = [i for i in range(len(made.concepts), len(made.words))
              if made.words[i].kind in kinds and plain(made.words[i].text) not in taken]  # fmt: skip
    nearness: Tensor = (made.embeddings[chosen] @ made.embeddings[base].T).amax(1)
    order = nearness.argsort(descending=True, stable=True)[:NOVEL_WORDS]
    return [made.words[chosen[i]].text for i in order.tolist()]


def _write_sheet(path: Path, drawings: np.ndarray) -> None:
    rows = math.ceil(len(drawings) / COLUMNS)
    cells = np.zeros((rows * COLUMNS, DRAWING_SIZE, DRAWING_SIZE, 4), dtype=np.uint8)
    cells[: len(drawings)] = drawings
    sheet = cells.reshape(rows, COLUMNS, DRAWING_SIZE, DRAWING_SIZE, 4).transpose(0, 2, 1, 3, 4)
    image = Image.fromarray(sheet.reshape(rows * DRAWING_SIZE, COLUMNS * DRAWING_SIZE, 4))
    image.save(path, "WEBP", lossless=True, method=6, quality=100)
