"""The words that stand for a class folder in prompts: its name, or what the user wrote in names.csv."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.protocol.data.folder import composed
from sar_reg.class_names import fold, spoken
from sar_reg.errors import InputError, counted
from sar_reg.files import write_atomic

FILE = "names.csv"
_NOT_WORDS = re.compile(r"(?:n\d{8}|(?:class|label|category|cls|id|nr|no)?[ _.-]*\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class ClassWords:
    """Class names in label order, the label of each folder, and remarks on the names."""

    classnames: tuple[str, ...]
    label_of: Mapping[str, int]
    notes: tuple[str, ...]


def read_words(path: Path) -> dict[str, str]:
    """Folder to words from a CSV file with the columns `folder` and `words`; empty if there is no file.

    Commas, semicolons and tabs separate. A row without words leaves the folder its name.

    Raises:
        InputError: other columns, a folder twice, or a file that is not UTF-8.
    """
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error}); save it as CSV UTF-8") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    if not {"folder", "words"} <= set(rows.fieldnames or ()):
        raise InputError(
            f"{path} must begin with the line folder,words; it begins with {header.strip()!r}. "
            "Delete the file and run python -m examples.check FOLDER to have it written"
        )
    words: dict[str, str] = {}
    for row in rows:
        folder = composed((row["folder"] or "").strip())
        if folder in words:
            raise InputError(f"{path} names the folder {folder!r} twice; keep one of the rows")
        words[folder] = composed((row["words"] or "").strip())
    return words


def write_words(path: Path, folders: Sequence[str]) -> None:
    """Write the file with the words that prompts would have without it."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("folder", "words"))
    table.writerows((name, spoken(name)) for name in dict.fromkeys(map(composed, folders)))
    write_atomic(path, text.getvalue())


def name_classes(
    folders: Sequence[str], words: Mapping[str, str], *, parts: Sequence[Sequence[str]]
) -> ClassWords:
    """Assign a class name and a label to every folder, in the folders' order.

    Folders of different parts are the same class if their names agree up to case, `_` and the form of
    accents. Two folders of one part are the same class only if names.csv has the same words for both.

    Args:
        folders: all class folders as they are called on the disk.
        words: from `read_words`.
        parts: the class folders of each part.

    Raises:
        InputError: two folders of one part that become the same name.
    """
    named = {folder: words.get(composed(folder)) or composed(folder) for folder in folders}
    for part in parts:
        _refuse_collisions(part, named, words)
    classnames: list[str] = []
    number: dict[str, int] = {}
    for folder in folders:
        if _key(named[folder]) not in number:
            number[_key(named[folder])] = len(classnames)
            classnames.append(named[folder])
    label_of = {folder: number[_key(name)] for folder, name in named.items()}
    return ClassWords(tuple(classnames), label_of, tuple(_remarks(classnames, label_of, named, words)))


def _key(name: str) -> str:
    return fold(composed(name))


def _refuse_collisions(part: Sequence[str], named: Mapping[str, str], words: Mapping[str, str]) -> None:
    groups: dict[str, list[str]] = {}
    for folder in part:
        groups.setdefault(_key(named[folder]), []).append(folder)
    clashes = [
        " and ".join(repr(folder) for folder in group)
        for group in groups.values()
        if len(group) > 1 and not all(words.get(composed(folder)) for folder in group)
    ]
    if clashes:
        raise InputError(
            f"the folders {'; '.join(clashes)} become one class name (case, '_' and the form of accents do not "
            f"count). Move their images into one folder, or write different words for them into {FILE}"
        )


def _remarks(
    classnames: Sequence[str], label_of: Mapping[str, int], named: Mapping[str, str], words: Mapping[str, str]
) -> list[str]:
    remarks = []
    numbers = [name for name in classnames if _NOT_WORDS.fullmatch(name)]
    if numbers:
        remarks.append(
            f"{counted(len(numbers), 'class name')} without words, such as {numbers[0]!r}: CLIP cannot know "
            f"numbers and ids, so write words in {FILE}"
        )
    unknown = [folder for folder in words if folder not in {composed(name) for name in named}]
    if unknown:
        remarks.append(
            f"{FILE} names {counted(len(unknown), 'folder')} without images, such as {unknown[0]!r}"
        )
    spellings: dict[int, set[str]] = {}
    for folder, label in label_of.items():
        spellings.setdefault(label, set()).add(folder)
    for label, folders in spellings.items():
        if len(folders) > 1:
            remarks.append(
                f"the folders {', '.join(map(repr, sorted(folders)))} are one class, {classnames[label]!r}"
            )
    return remarks
