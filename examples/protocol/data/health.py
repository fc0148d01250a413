"""Is a data set present, complete and the published one? One finding a question, for `doctor` and `check`."""

from __future__ import annotations

import difflib
import hashlib
import os
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from examples.protocol.data import READERS, describe, numbers_expected, numbers_of
from examples.protocol.data.catalogue import CatalogueEntry, entry_of
from examples.protocol.data.dataset import Example
from examples.protocol.data.fetch import images_advice, split_advice
from examples.protocol.data.file_dataset import FileDataset
from sar_reg.class_names import spoken
from sar_reg.cli.doctor import Finding
from sar_reg.errors import InputError, counted

DECODED = 20
CLASSNAMES = Path(__file__).parent / "classnames"


def check_all(keys: Iterable[str], root: Path, *, decode: int = DECODED) -> list[Finding]:
    """The findings of several data sets; one only if the folder is not there."""
    if not root.is_dir():
        advice = "pass the folder that holds the data sets: --data ROOT; `prepare` makes it"
        return [Finding("data", "failure", f"there is no folder {root}", advice)]
    return [finding for key in keys for finding in check(entry_of(key), root, decode=decode)]


def check(source: CatalogueEntry, root: Path, *, decode: int = DECODED) -> list[Finding]:
    """Look at images, split file, numbers, names, every path, and decode a sample.

    Args:
        source: the data set.
        root: the folder that holds all data sets.
        decode: images to decode, drawn with a fixed seed; -1 decodes all.
    """
    folder, split = source.find_images(root), source.find_split(root)
    findings = [_images(source, root, folder), *_split(source, root, split)]
    if folder is None or split is None:
        return findings
    try:
        dataset = READERS[source.form](source.key, split, folder)
    except InputError as error:
        return [*findings, Finding(f"{source.key}: reading", "failure", str(error))]
    examples = tuple(dict.fromkeys((*dataset.train, *dataset.val, *dataset.test)))
    findings += [_numbers(source, dataset), *_names(dataset), _paths(dataset, examples)]
    return [*findings, _decoding(dataset, examples, decode), *_pickles(source, root)]


def _images(source: CatalogueEntry, root: Path, folder: Path | None) -> Finding:
    subject = f"{source.key}: images"
    if folder is not None:
        return Finding(subject, "ok", f"in {folder}")
    wanted = " or ".join(source.images) if not source.needs else " and ".join(source.needs)
    fact = f"{source.home(root)} holds no {wanted}{_seen_instead(source, root)}"
    return Finding(subject, "failure", fact, images_advice(source, root))


def _seen_instead(source: CatalogueEntry, root: Path) -> str:
    """What lies where the data set should be, for a folder that is only named differently."""
    home = source.home(root)
    if (home / home.name).is_dir():
        return f"; {home / home.name} looks like it, one level too deep: move its content up"
    if home.is_dir():
        inside = sorted(entry.name for entry in os.scandir(home) if entry.is_dir())
        return f"; it holds the folders {', '.join(inside[:6]) or '(none)'}: rename or link the right one"
    there = sorted(entry.name for entry in os.scandir(root) if entry.is_dir()) if root.is_dir() else []
    close = [name for name in there if name.lower().replace("-", "_") == home.name.replace("-", "_")]
    close = close or difflib.get_close_matches(home.name, there, n=1, cutoff=0.7)
    return f"; {root / close[0]} looks like it: rename it to {home.name} or link it" if close else ""


def _split(source: CatalogueEntry, root: Path, split: Path | None) -> list[Finding]:
    subject = f"{source.key}: split"
    if split is None:
        return [Finding(subject, "failure", f"{source.split} is missing", split_advice(source, root))]
    if not source.sha256:
        return [Finding(subject, "ok", f"{split.name} is there; no published hash is known to compare with")]
    wrong = [name for name, known in source.sha256.items() if _hash(split.parent / name) != known]
    if wrong:
        fact = f"{', '.join(wrong)} differs from the file that others report as the published one"
        return [Finding(subject, "warning", fact, split_advice(source, root))]
    return [Finding(subject, "ok", f"{', '.join(source.sha256)} hashes as others report")]


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _numbers(source: CatalogueEntry, dataset: FileDataset) -> Finding:
    found, expected = numbers_of(dataset), numbers_expected(source)
    if found == expected:
        return Finding(f"{source.key}: numbers", "ok", describe(found))
    return Finding(
        f"{source.key}: numbers",
        "failure",
        f"{describe(found)}; published: {describe(expected)}",
        "extract the images and fetch the split file again; one of them is cut or of another version",
    )


def _names(dataset: FileDataset) -> list[Finding]:
    known = CLASSNAMES / f"{dataset.key}.txt"
    if not known.is_file():
        return []
    subject = f"{dataset.key}: class names"
    ours = [spoken(name) for name in known.read_text("utf-8").splitlines() if name.strip()]
    theirs = [spoken(name) for name in dataset.classnames]
    if theirs == ours:
        return [Finding(subject, "ok", f"{theirs[0]} … {theirs[-1]}, as in {known.name}")]
    fact = f"{counted(len(theirs), 'name')} here, {len(ours)} in {known.name}"
    for here, there in zip(theirs, ours, strict=False):
        if here != there:
            fact += f'; the first that differs is "{here}" here, "{there}" there'
            break
    advice = "the split file decides; class lists and novel names made for the others may not fit"
    return [Finding(subject, "warning", fact, advice)]


def _paths(dataset: FileDataset, examples: Sequence[Example]) -> Finding:
    subject = f"{dataset.key}: files"
    listed: dict[str, set[str]] = {}
    missing: list[str] = []
    for example in examples:
        parent, _, name = example.source.rpartition("/")
        if parent not in listed:
            folder = dataset.folder / parent
            listed[parent] = set(os.listdir(folder)) if folder.is_dir() else set()
        if name not in listed[parent]:
            missing.append(example.source)
    if not missing:
        return Finding(subject, "ok", f"{counted(len(examples), 'image')}, all there")
    fact = f"missing: {len(missing)} of {counted(len(examples), 'image')}, the first {missing[0]}"
    return Finding(subject, "failure", fact, f"extract the images again into {dataset.folder}")


def _decoding(dataset: FileDataset, examples: Sequence[Example], decode: int) -> Finding:
    subject = f"{dataset.key}: decoding"
    there = [example for example in examples if (dataset.folder / example.source).is_file()]
    if 0 <= decode < len(there):
        there = random.Random(0).sample(there, decode)
    broken = [example.source for example in there if not _decodes(dataset, example)]
    if not broken:
        return Finding(subject, "ok", f"{counted(len(there), 'image')} decoded")
    fact = f"{len(broken)} of {counted(len(there), 'image')} cannot be decoded: {', '.join(broken[:3])}"
    return Finding(subject, "failure", fact, "extract or download them again")


def _decodes(dataset: FileDataset, example: Example) -> bool:
    try:
        dataset.image(example)
    except InputError:
        return False
    return True


def _pickles(source: CatalogueEntry, root: Path) -> list[Finding]:
    found = sorted(source.home(root).glob("split_fewshot/*.pkl")) + sorted(source.home(root).glob("*.pkl"))
    if not found:
        return []
    fact = f"ignored: {counted(len(found), 'pickle file')} of another tool ({found[0].name}, …); the draws are repeated"
    return [Finding(f"{source.key}: caches", "note", fact)]
