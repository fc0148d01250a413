"""A data set whose images are files in one folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from examples.protocol.data.catalogue import catalogue
from examples.protocol.data.dataset import Example
from examples.protocol.data.reading import ImageError, read_image
from sar_reg.errors import InputError


@dataclass(frozen=True)
class FileDataset:
    """Class names and examples; `source` of an example is its path below `folder`, with forward slashes."""

    key: str
    folder: Path = field(repr=False)
    classnames: tuple[str, ...] = field(repr=False)
    train: tuple[Example, ...] = field(repr=False)
    val: tuple[Example, ...] = field(repr=False)
    test: tuple[Example, ...] = field(repr=False)
    own: bool = field(default=False, repr=False)
    """A user's photos, read as a viewer shows them; the benchmark's images are read as its code does."""
    notes: tuple[str, ...] = field(default=(), repr=False)
    """What was left out, and what else a user should know of the folder."""

    def image(self, example: Example) -> Image.Image:
        """Read the whole file in RGB.

        Raises:
            InputError: the file is missing, cut off or not an image.
        """
        path = self.folder / example.source
        try:
            if self.own:
                return read_image(path)
            with Image.open(path) as image:
                return image.convert("RGB")
        except FileNotFoundError as error:
            advice = f". See what else is with: python -m examples.protocol.data check {self.key} --data ROOT"
            raise InputError(
                f"{self.key}: the image {path} is missing{advice if self.key in catalogue() else ''}"
            ) from error
        except (OSError, ImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(
                f"{self.key}: the image {path} cannot be read ({error}); it is damaged. "
                "Delete the file and extract or download it again"
            ) from error
