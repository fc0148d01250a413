"""Any photo as upright RGB: orientation, transparency, bit depth and first frame as a viewer shows them."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image, ImageOps, features

from sar_reg.errors import InputError

ENDINGS = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .webp .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm".split()
    + [".avif"] * bool(features.check("avif"))
    + [".jp2"] * bool(features.check("jpg_2000"))
)
"""Endings of files that are read as images, in lower case."""


class ImageError(InputError):
    """An image that cannot be read; the message is the reason."""


def is_image(name: str) -> bool:
    """Whether a file name has the ending of an image, in any case."""
    return os.path.splitext(name)[1].lower() in ENDINGS


def read_image(path: str | os.PathLike[str], *, quick: bool = False) -> Image.Image:
    """Read a whole file as 8-bit RGB, the way an image viewer shows it.

    The EXIF orientation is applied, transparent parts are composited on white, 16-bit values are scaled to
    8 bits, CMYK is converted, and of an animation the first frame is taken.

    Args:
        path: the file.
        quick: read a JPEG at an eighth of its size, to find out whether it can be read.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: the file is damaged, not an image, or holds numbers without an agreed white.
    """
    if not os.path.getsize(path):
        raise ImageError("the file is empty")
    try:
        with Image.open(path) as image:
            if quick:
                image.draft(None, (image.width // 8, image.height // 8))
            image.load()
            return to_rgb(image)
    except ImageError:
        raise
    except Image.UnidentifiedImageError as error:
        raise ImageError("the content is not an image of a known kind") from error
    except Exception as error:  # in a damaged file Pillow's readers raise whatever they stumble over
        raise ImageError(f"{type(error).__name__}: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """An opened image as 8-bit RGB, upright and on white."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        return Image.fromarray(_eight_bits(upright, image.format)).convert("RGB")
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    transparent = upright.info.get("transparency")
    if isinstance(transparent, tuple) and max(transparent) > 255:  # of 16-bit RGB, which Pillow cuts to 8
        upright.info["transparency"] = tuple(value >> 8 for value in transparent)
    shown = upright.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")


def _eight_bits(image: Image.Image, kind: str | None) -> np.ndarray:
    """Grey values in 0 … 255 of an image with more than eight bits a pixel."""
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        grey = np.round(values.astype(np.float64) / 257)  # 65535 is white
    elif image.mode == "F" and np.isfinite(values).all() and values.min() >= 0 and values.max() <= 255:
        grey = np.round(values * (255 if values.max() <= 1 else 1))
    else:
        raise ImageError(
            f"its numbers ({values.dtype}, {values.min():g} to {values.max():g}) have no agreed black and white; "
            "save it with 8 or 16 bits a channel"
        )
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return grey.astype(np.uint8)
