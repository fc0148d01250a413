"""Novel names and whole banks kept between runs, each under a key of all that it depends on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from sar_reg.bank.anchor_bank import AnchorBank
from sar_reg.errors import InputError
from sar_reg.files import content_key, file_path, set_aside, sha256, write_atomic
from sar_reg.novel.source import NovelNames

Entry = TypeVar("Entry")


class BankCache:
    """A folder with `novel-KEY.json` (names and where they came from) and `bank-KEY.safetensors`.

    Files are written whole, so any number of processes may use one folder. A damaged file is renamed, logged
    and rebuilt.

    Args:
        folder: the folder, made when something is written to it; `None` keeps nothing.

    Raises:
        InputError: when the folder cannot be read or written.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = None if folder is None else file_path(folder)

    def names(self, about: dict[str, Any], make: Callable[[], NovelNames], wanted: int) -> NovelNames:
        """The names kept for `about`, or made now and kept if there are as many as wanted."""
        file = f"novel-{content_key(**about)}.json"
        kept = self._read(file, _read_names)
        if kept is not None:
            return kept
        made = make()
        if len(made) == wanted:
            entry = {
                "names": made.names,
                "provenance": dict(made.provenance),
                "made_for": about,
                "sha256": sha256("\n".join(made.names)),
            }
            text = json.dumps(entry, indent=1, ensure_ascii=False) + "\n"
            self._write(lambda folder: write_atomic(folder / file, text))
        return made

    def bank(
        self,
        about: dict[str, Any],
        make: Callable[[], AnchorBank],
        fits: Callable[[AnchorBank], bool] = lambda bank: True,
    ) -> AnchorBank:
        """The bank kept for `about`, on the CPU, if it fits the model as it is now, or made now and kept."""
        file = f"bank-{content_key(**about)}.safetensors"
        kept = self._read(file, AnchorBank.load)
        if kept is None or not fits(kept):
            kept = make()
            self._write(lambda folder: kept.save(folder / file))
        return kept

    def _read(self, file: str, reader: Callable[[Path], Entry]) -> Entry | None:
        if self.folder is None:
            return None
        path = self.folder / file
        try:
            return reader(path) if path.exists() else None
        except FileNotFoundError:  # another process set it aside
            return None
        except OSError as error:
            raise InputError(
                f"cannot read the cache in {self.folder} ({error}); pass another cache_dir="
            ) from error
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            if path.exists():  # torch raises RuntimeError where another process set the file aside
                set_aside(path, error.__cause__ or error)
            return None

    def _write(self, write: Callable[[Path], object]) -> None:
        if self.folder is None:
            return
        try:
            write(self.folder)
        except OSError as error:
            raise InputError(f"cannot write the cache: {error}; pass another cache_dir=") from error


def _read_names(path: Path) -> NovelNames:
    entry: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names = tuple(cast("list[str]", entry["names"]))
    if sha256("\n".join(names)) != entry["sha256"]:
        raise ValueError("the names were changed; pass a list of your own as a WordList")
    return NovelNames(names, dict(entry["provenance"]))
