"""`python -m examples.check FOLDER`: what a folder of photos holds, what is wrong with it, and how names are read."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from examples.protocol.cli.errors import one_line_errors
from examples.protocol.data.broken import find_broken
from examples.protocol.data.class_words import FILE, read_words, write_words
from examples.protocol.data.file_dataset import FileDataset
from examples.protocol.data.folder import Photos, composed, list_photos
from examples.protocol.data.own_data import open_folder, skipped, split_file
from sar_reg.class_names import spoken
from sar_reg.errors import InputError, counted

TINY = 4
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class ClassRow:
    """One class folder: its words in a prompt and how many images there are; `tiny` below `TINY`."""

    folder: str
    prompt: str
    images: dict[str, int]
    tiny: bool


@dataclass(frozen=True)
class Report:
    """Everything that is known of a folder. `problems` keep it from being trained on, `notes` do not."""

    folder: str
    classes: list[ClassRow]
    split: dict[str, int]
    broken: dict[str, str]
    notes: list[str]
    problems: list[str]
    names: str


def inspect(folder: Path, *, write_names: bool = False) -> Report:
    """List, count and read all images of a folder.

    Args:
        folder: the folder, in which nothing is changed otherwise.
        write_names: write names.csv if it is not there.

    Raises:
        InputError: if there is no such folder, its names.csv or split file cannot be read, or there is nothing to name.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; pass the folder that holds the class folders")
    problems: list[str] = []
    dataset = None
    try:
        dataset = open_folder(folder)
    except InputError as error:
        problems.append(str(error))
    if split := split_file(folder):
        if dataset is None:
            raise InputError(problems[0])
        if write_names:
            raise InputError(f"--write-names has no effect, since {split} names the classes; leave it out")
        rows, root, notes, names = _rows_of_split(dataset), folder, [], ""
        sources = [example.source for part in PARTS for example in getattr(dataset, part)]
    else:
        photos = list_photos(folder)
        rows, root, names = (
            _rows_of_folders(photos, read_words(folder / FILE)),
            photos.root,
            _names(folder, photos, write=write_names),
        )
        notes = list(dataset.notes) if dataset else [*photos.notes, *skipped(photos)]
        sources = [path for images in photos.parts.values() for paths in images.values() for path in paths]
    split = {part: len(getattr(dataset, part)) for part in PARTS} if dataset else {}
    return Report(str(folder), rows, split, find_broken(root, sources), notes, problems, names)


def _rows_of_folders(photos: Photos, words: dict[str, str]) -> list[ClassRow]:
    rows = []
    for folder in photos.folders:
        images = {part: len(found.get(folder, ())) for part, found in photos.parts.items()}
        rows.append(_row(folder, words.get(composed(folder)) or composed(folder), images))
    return rows


def _rows_of_split(dataset: FileDataset) -> list[ClassRow]:
    rows = []
    for label, name in enumerate(dataset.classnames):
        images = {part: sum(e.label == label for e in getattr(dataset, part)) for part in PARTS}
        rows.append(_row(name, name, images))
    return rows


def _row(folder: str, words: str, images: dict[str, int]) -> ClassRow:
    prompt = f"a photo of a {spoken(words)}."
    return ClassRow(folder, prompt, images, sum(images.values()) < TINY)


def _names(folder: Path, photos: Photos, *, write: bool) -> str:
    path = folder / FILE
    if path.is_file():
        return f"{path} is read" + (" and was not written again" if write else "")
    if not photos.folders:
        return ""
    if not write:
        return (
            f"if a prompt does not read well: --write-names writes {path}, in which you can change the words"
        )
    write_words(path, photos.folders)
    return f"{path} was written: change the words there if a prompt does not read well"


def as_text(report: Report) -> str:
    """The report for people."""
    heads = list(report.classes[0].images) if report.classes else []
    titles = ["images" if head == "all" else head for head in heads]
    width = max([len(row.folder) for row in report.classes] + [5])
    lines = [f"{'class':{width}}  {''.join(f'{title:>8}' for title in titles)}  prompt"]
    for row in report.classes:
        counts = "".join(f"{row.images[head]:8}" for head in heads)
        lines.append(f"{row.folder:{width}}  {counts}  {row.prompt}{'  (few images)' if row.tiny else ''}")
    lines.append("")
    if report.split:
        sizes = " / ".join(str(report.split[part]) for part in PARTS)
        lines.append(
            f"{counted(len(report.classes), 'class folder')}; {sizes} images to train on / val / test"
        )
    lines += [f"cannot be read: {source}: {reason}" for source, reason in report.broken.items()]
    lines += report.notes
    tiny = sum(row.tiny for row in report.classes)
    if tiny:
        lines.append(f"{counted(tiny, 'class')} with fewer than {TINY} images: their accuracy is unreliable")
    lines += [report.names] if report.names else []
    lines += [f"problem: {problem}" for problem in report.problems]
    if not report.problems:
        without = (
            f", without {counted(len(report.broken), 'image')} that cannot be read" if report.broken else ""
        )
        lines.append(f"ready to train on{without}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 if the folder can be trained on as it is, 1 if something is wrong with it."""
    parser = argparse.ArgumentParser(prog="python -m examples.check", description=__doc__)
    parser.add_argument(
        "folder", type=Path, help="folder with a folder per class, or with train and test folders"
    )
    parser.add_argument(
        "--write-names", action="store_true", help="write FOLDER/names.csv, to change the words in it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args(argv)
    report = inspect(options.folder, write_names=options.write_names)
    print(json.dumps(asdict(report), ensure_ascii=False) if options.json else as_text(report))
    return int(bool(report.broken or report.problems))


if __name__ == "__main__":
    with one_line_errors():
        raise SystemExit(main())
