"""Draw icons: SVG bodies of the icon sets to RGBA pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from examples.testbed.datasets import DRAWING_SIZE
from examples.testbed.rebuild.packages import icon_set
from sar_reg.errors import require


def draw_all(work: Path, icons: Sequence[tuple[str, str]], size: int = DRAWING_SIZE) -> npt.NDArray[np.uint8]:
    """Pixels `(n, size, size, 4)` of `(style, name)` pairs, straight (not premultiplied) alpha."""
    sets = {style: icon_set(work, style) for style in {style for style, _ in icons}}
    return np.stack([_draw(sets[style], name, size) for style, name in icons])


def _draw(data: dict[str, Any], name: str, size: int) -> npt.NDArray[np.uint8]:
    resvg: Any = require("resvg_py", extra="rebuild")
    alias = data.get("aliases", {}).get(name, {})
    icon = data["icons"][alias.get("parent", name)]
    left, top = icon.get("left", data.get("left", 0)), icon.get("top", data.get("top", 0))
    width = icon.get("width", data.get("width", 16))
    height = icon.get("height", data.get("height", 16))
    side = max(width, height)
    box = f"{left - (side - width) / 2} {top - (side - height) / 2} {side} {side}"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" width="{size}" height="{size}">{icon["body"]}</svg>'
    )
    png = bytes(resvg.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True))
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).copy()
    if alias.get("hFlip"):
        pixels = pixels[:, ::-1].copy()
    pixels[pixels[..., 3] == 0] = 0
    return pixels
