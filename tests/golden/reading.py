"""Read the recorded traces of a folder, by name.

A trace is a file `NAME.npz`, or the arrays `CASE/…` of an archive `FAMILY.npz`, and is then called `FAMILY_CASE`.
A file of its own comes before an archive. `python -m tests.golden.reading FAMILY` packs the files `FAMILY_*.npz`
of this folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

Trace = dict[str, Any]


def names(folder: Path) -> list[str]:
    """Of all traces in a folder, sorted."""
    found: set[str] = set()
    for path in folder.glob("*.npz"):
        with np.load(path) as arrays:
            cases = [name.removesuffix("/meta") for name in arrays.files if name.endswith("/meta")]
        found |= {f"{path.stem}_{case}" for case in cases} or {path.stem}
    return sorted(found)


def read(folder: Path, name: str) -> Trace:
    """All arrays of one trace."""
    path, start = _place(folder, name)
    with np.load(path) as arrays:
        return {key.removeprefix(start): arrays[key] for key in arrays.files if key.startswith(start)}


def meta(folder: Path, name: str) -> dict[str, Any]:
    """What a trace says about itself; empty if it says nothing."""
    path, start = _place(folder, name)
    with np.load(path) as arrays:
        return json.loads(str(arrays[f"{start}meta"])) if f"{start}meta" in arrays else {}


def pack(folder: Path, family: str) -> None:
    """Put the traces `FAMILY_*.npz` of a folder into one archive, `FAMILY.npz`."""
    files = sorted(folder.glob(f"{family}_*.npz"))
    traces = {path.stem.removeprefix(f"{family}_"): read(folder, path.stem) for path in files}
    arrays = {f"{case}/{name}": array for case, trace in traces.items() for name, array in trace.items()}
    np.savez_compressed(folder / f"{family}.npz", **arrays)


def _place(folder: Path, name: str) -> tuple[Path, str]:
    alone = folder / f"{name}.npz"
    if alone.is_file():
        return alone, ""
    family, _, case = name.partition("_")
    return folder / f"{family}.npz", f"{case}/"


if __name__ == "__main__":
    pack(Path(__file__).parent, sys.argv[1])
