"""One tensor with JSON about it: a safetensors file whose reader notices damage and other kinds of files."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize

from sar_reg.errors import InputError
from sar_reg.files import file_path, sha256, write_atomic
from sar_reg.shapes import Tensor


@dataclass(frozen=True)
class TensorFile:
    """A kind of file.

    Attributes:
        kind: what it is, with its article, such as "an anchor bank".
        format: the header's "format".
        about: name of the header's JSON.
        tensor: name of the tensor.
        make: how to make such a file.
        again: what to do about a damaged one.
    """

    kind: str
    format: str
    about: str
    tensor: str
    make: str
    again: str

    def save(self, path: str | os.PathLike[str], about: str, tensor: Tensor) -> Path:
        """Write a contiguous CPU tensor and JSON text about it, replacing the file whole."""
        metadata = {"format": self.format, self.about: about, "sha256": _digest(about, tensor)}
        return write_atomic(path, serialize({self.tensor: tensor}, metadata))

    @contextmanager
    def open(self, path: str | os.PathLike[str]) -> Generator[tuple[dict[str, Any], Tensor]]:
        """What `save` wrote. A value that is missing or of another type in the `with` block is damage, too.

        Raises:
            FileNotFoundError: if there is no such file.
            InputError: if the file is damaged or of another kind.
        """
        source = file_path(path)
        if not os.path.isfile(source):
            raise FileNotFoundError(f"there is no {self.kind.partition(' ')[2]} at {path}; {self.make}")
        try:
            with safe_open(source, framework="pt") as stored:  # pyright: ignore[reportUnknownVariableType]
                metadata = cast("dict[str, str]", stored.metadata() or {})
                if metadata.get("format") != self.format:
                    raise InputError(
                        f"{path} is not {self.kind} of this version (expected format {self.format})"
                    )
                tensor = cast(Tensor, stored.get_tensor(self.tensor))
            if metadata["sha256"] != _digest(metadata[self.about], tensor):
                raise InputError(f"{path} is damaged (its checksum does not match); {self.again}")
            yield json.loads(metadata[self.about]), tensor
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is damaged or not {self.kind} ({error}); {self.again}") from error


def _digest(about: str, tensor: Tensor) -> str:
    return sha256(about.encode() + tensor.view(torch.uint8).numpy().tobytes())
