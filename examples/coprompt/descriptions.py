"""Descriptions of the classes, the input of CoPrompt's text teacher."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from sar_reg.bank import SPECIFIC, resolve_templates
from sar_reg.class_names import spoken
from sar_reg.errors import InputError, counted
from sar_reg.shapes import Float, Tensor

FILES = {
    "caltech101": "caltech",
    "fgvc_aircraft": "fgvc",
    **{key: key for key in ("dtd", "eurosat", "food101", "oxford_flowers", "oxford_pets")},
    **{key: key for key in ("stanford_cars", "sun397", "ucf101")},
}
"""Data set → stem of its official file `STEM_prompt.json`; ImageNet has none."""


class DescriptionsMissingWarning(UserWarning):
    """CoPrompt runs without descriptions and uses handcrafted prompts instead."""


@cache
def warn_of_missing(dataset: str) -> None:
    """Warn once per process; Python's own filter is reset between runs."""
    warnings.warn(
        f"CoPrompt has no descriptions for {dataset}: handcrafted prompts stand in for them. Pass "
        "--descriptions FILE (the official JSON files, or one that "
        "`python -m examples.coprompt.describe` writes).",
        DescriptionsMissingWarning,
        stacklevel=3,
    )


def find_descriptions(source: str | Path, dataset: str, classnames: Sequence[str]) -> list[list[str]]:
    """Return the sentences of each class, rows in the order of `classnames`.

    Args:
        source: a JSON file in the official format (class name → list of sentences), a folder of such files
            under their official names (`dtd_prompt.json`), or "" for the data set's handcrafted prompts, with a
            `DescriptionsMissingWarning`.
        dataset: key of the data set; it selects the file in a folder, and the handcrafted prompts.
        classnames: names of the classes; "_" is read as a space.

    Raises:
        InputError: if the file is missing, is not of that format, or does not describe every class.
    """
    if source == "":
        warn_of_missing(dataset)
        return template_descriptions(dataset, classnames)
    path = Path(source)
    if path.is_dir():
        path = path / f"{FILES.get(dataset, dataset)}_prompt.json"
    if not path.is_file():
        raise InputError(
            f"the description file {path} does not exist. Write one with "
            "`python -m examples.coprompt.describe`, or omit the descriptions to use handcrafted prompts."
        )
    return select_descriptions(read_descriptions(path), classnames, origin=str(path))


def read_descriptions(path: Path) -> dict[str, list[str]]:
    """Read a file of the official format, `{"cougar face": ["A cougar face is …", …], …}`."""
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); expected class name → list of sentences.") from error
    if not isinstance(content, dict) or not all(
        isinstance(value, list) and all(isinstance(sentence, str) for sentence in value)
        for value in content.values()
    ):
        raise InputError(f"{path} must contain one JSON object: class name → list of sentences.")
    return content


def select_descriptions(
    sentences: Mapping[str, Sequence[str]], classnames: Sequence[str], *, origin: str
) -> list[list[str]]:
    """Select the sentences of the classes; all need the same number, because they share one drawn index."""
    by_name = {spoken(name): list(found) for name, found in sentences.items()}
    names = [spoken(name) for name in classnames]
    missing = [name for name in names if not by_name.get(name)]
    if missing:
        raise InputError(
            f"{origin} describes {len(names) - len(missing)} of {counted(len(names), 'class')}; "
            f"missing: {', '.join(missing[:5])}{', …' if len(missing) > 5 else ''}."
        )
    rows = [by_name[name] for name in names]
    for name, row in zip(names, rows, strict=True):
        if len(row) != len(rows[0]):
            raise InputError(
                f"{origin} has {counted(len(row), 'sentence')} for {name!r} but {len(rows[0])} for {names[0]!r}; "
                "every class needs the same number."
            )
    return rows


def template_descriptions(dataset: str, classnames: Sequence[str]) -> list[list[str]]:
    """Handcrafted prompts that replace missing descriptions, the same ones for every class.

    >>> template_descriptions("dtd", ["polka-dotted"])[0][-1]
    'a photo of a polka-dotted, a type of texture.'
    """
    templates = resolve_templates(dataset if dataset in SPECIFIC else "imagenet")
    return [[template.format(spoken(name)) for template in templates] for name in classnames]


@torch.no_grad()
def encode_descriptions(
    tower: Any, sentences: Sequence[Sequence[str]], batch_size: int = 256
) -> Float[Tensor, "descriptions classes width"]:
    """Unit rows of the frozen text tower, `[r, c]` for sentence r of class c."""
    flat = [row[r] for r in range(len(sentences[0])) for row in sentences]
    rows = torch.cat(
        [
            normalize(tower.encode_tokens(tower.tokenize(flat[start : start + batch_size])).float(), dim=1)
            for start in range(0, len(flat), batch_size)
        ]
    )
    return rows.reshape(len(sentences[0]), len(sentences), -1)
