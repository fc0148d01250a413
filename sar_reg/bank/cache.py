"""Keeping novel names and text features between runs, each under a key of all that they depend on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize

from sar_reg.errors import InputError
from sar_reg.files import content_key, set_aside, write_atomic
from sar_reg.shapes import Float, Tensor

Names = tuple[tuple[str, ...], dict[str, Any]]


class BankCache:
    """A folder with `novel-KEY.json` (names and where they came from) and `features-KEY.safetensors`.

    Files are written whole, so any number of processes may use one folder; a damaged file is set aside, told
    in the log, and made anew.

    Args:
        folder: the folder, made when something is written to it; `None` keeps nothing.

    Raises:
        InputError: when the folder cannot be read or written.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = None if folder is None else Path(folder)

    def names(self, about: dict[str, Any], make: Callable[[], Names], wanted: int) -> Names:
        """Names and provenance as kept for `about`, or made now and kept if there are as many as wanted."""
        kept = self._read(names_file(about), _read_names)
        if kept is not None:
            return kept
        names, provenance = make()
        if len(names) == wanted:
            entry = {"names": names, "provenance": provenance, "made_for": about, "sha256": _digest(names)}
            self._write(names_file(about), json.dumps(entry, indent=1, ensure_ascii=False) + "\n")
        return names, provenance

    def features(
        self,
        about: dict[str, Any],
        classnames: Sequence[str],
        make: Callable[[], Float[Tensor, "classes width"]],
    ) -> Float[Tensor, "classes width"]:
        """The features kept for `about` and these names, or made now and kept."""
        file = f"features-{content_key(about=about, classnames=list(classnames))}.safetensors"
        kept = self._read(file, lambda path: _read_features(path, len(classnames)))
        if kept is not None:
            return kept
        rows = make().detach().cpu().contiguous()
        metadata = {
            "classnames": json.dumps(list(classnames), ensure_ascii=False),
            "sha256": _digest_of_rows(rows),
        }
        self._write(file, serialize({"embeddings": rows}, metadata))
        return rows

    def _read(self, file: str, reader: Callable[[Path], Any]) -> Any:
        if self.folder is None or not (self.folder / file).exists():
            return None
        try:
            return reader(self.folder / file)
        except FileNotFoundError:  # another process set it aside
            return None
        except OSError as error:
            raise InputError(
                f"cannot read the cache in {self.folder} ({error}); choose another cache_dir"
            ) from error
        except RuntimeError as error:  # torch's word for a file that vanished between its header and its rows
            if (self.folder / file).exists():
                set_aside(self.folder / file, error)
            return None
        except (ValueError, KeyError, TypeError, SafetensorError) as error:
            set_aside(self.folder / file, error)
            return None

    def _write(self, file: str, content: bytes | str) -> None:
        if self.folder is None:
            return
        try:
            write_atomic(self.folder / file, content)
        except OSError as error:
            raise InputError(
                f"cannot write the cache in {self.folder} ({error}); choose another cache_dir"
            ) from error


def names_file(about: dict[str, Any]) -> str:
    """The name of the file that keeps the names made for `about`."""
    return f"novel-{content_key(**about)}.json"


def _read_names(path: Path) -> Names:
    entry: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names = tuple(cast("list[str]", entry["names"]))
    if _digest(names) != entry["sha256"]:
        raise ValueError("the names were changed; give a list of your own as a WordList")
    return names, dict(entry["provenance"])


def _read_features(path: Path, n: int) -> Tensor:
    with safe_open(path, framework="pt") as stored:  # pyright: ignore[reportUnknownVariableType]
        rows = cast(Tensor, stored.get_tensor("embeddings"))
        digest = cast("dict[str, str]", stored.metadata() or {})["sha256"]
    if len(rows) != n or digest != _digest_of_rows(rows):
        raise ValueError("the features are not those that were written")
    return rows


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _digest_of_rows(rows: Tensor) -> str:
    return hashlib.sha256(rows.numpy().tobytes()).hexdigest()
