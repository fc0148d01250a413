"""One tensor with JSON about it: a safetensors file whose reader notices damage and other kinds of files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
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
        fields: the JSON's names and the type of each value; a mapping of the same kind for an object.
        tensor: name of the tensor.
        make: how to make such a file.
        again: what to do about a damaged one.
    """

    kind: str
    format: str
    about: str
    fields: Mapping[str, Any]
    tensor: str
    make: str
    again: str

    def save(self, path: str | os.PathLike[str], about: str, tensor: Tensor) -> Path:
        """Write a contiguous CPU tensor and its JSON metadata; the file is replaced atomically."""
        metadata = {"format": self.format, self.about: about, "sha256": _digest(about, tensor)}
        return write_atomic(path, serialize({self.tensor: tensor}, metadata))

    def read(self, path: str | os.PathLike[str], **defaults: Any) -> tuple[dict[str, Any], Tensor]:
        """What `save` wrote: the JSON and the tensor.

        Args:
            path: the file.
            defaults: of fields that earlier files lack.

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
            about = defaults | json.loads(metadata[self.about])
            _check_fields(about, self.fields)
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{path} is damaged or not {self.kind} ({error}); {self.again}") from error
        return about, tensor


def json_values(given: object, name: str) -> dict[str, Any]:
    """A mapping as it is after writing and reading JSON; numbers of numpy and tensors become plain ones."""

    def plain(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.generic | np.ndarray | Tensor) else os.fspath(value)

    try:
        return json.loads(json.dumps(dict(cast("Mapping[str, Any]", given)), default=plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} must be a dict of JSON values ({error}); pass numbers and strings"
        ) from error


def _check_fields(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name, kind in expected.items():
        value = found[name]
        if isinstance(kind, Mapping) and isinstance(value, dict):
            _check_fields(cast("dict[str, Any]", value), cast("Mapping[str, Any]", kind))
        elif isinstance(kind, Mapping) or not isinstance(value, kind):
            raise TypeError(f"{name} is {value!r:.40}")
    for name in found.keys() - expected.keys():
        raise TypeError(f"{name} is not a field of this version")


def _digest(about: str, tensor: Tensor) -> str:
    return sha256(about.encode() + tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
