"""`python -m examples.classify RECORD IMAGES…`: name what photos show, with the prompt that a run has learned."""

from __future__ import annotations

import argparse
import csv
import glob
import io
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from natsort import natsorted

from examples.protocol.cli.errors import one_line_errors
from examples.protocol.data.folder import list_images
from examples.protocol.data.reading import ImageError, read_image
from examples.protocol.data.transforms import Transform
from examples.protocol.distributed import choose_device
from examples.protocol.method import PromptMethod
from examples.protocol.runs.finished import FinishedRun, open_finished
from sar_reg.class_names import fold
from sar_reg.errors import InputError, counted
from sar_reg.files import refuse_overwriting, write_atomic
from sar_reg.novel import read_names
from sar_reg.shapes import Float, Tensor


@dataclass(frozen=True)
class Answer:
    """What one image shows, most likely class first; or why it could not be read."""

    image: str
    classes: tuple[tuple[str, float], ...] = ()
    error: str = ""


def find_images(given: Sequence[str]) -> list[Path]:
    """Files as given, all images below folders, and what patterns such as `*.jpg` match.

    Raises:
        InputError: if a pattern or a folder holds no image.
    """
    found: list[Path] = []
    for text in given:
        path = Path(text)
        if path.is_dir():
            inside = list_images(path)
        elif glob.has_magic(text) and not path.exists():
            inside = [
                Path(name) for name in natsorted(glob.glob(text, recursive=True)) if Path(name).is_file()
            ]
        else:
            inside = [path]
        if not inside:
            raise InputError(f"{text} holds no images; pass image files, folders of them, or a pattern")
        found += inside
    return list(dict.fromkeys(found))


def names_of(run: FinishedRun, given: str) -> list[str]:
    """The classes to distinguish: from a file, from `given` separated by commas, or all that the run knows."""
    if not given:
        return list(run.classnames)
    if Path(given).suffix in (".txt", ".csv", ".json") and not Path(given).is_file():
        raise InputError(
            f'there is no file {given}; --classes takes a file of names, or names as in "robin,blue tit"'
        )
    names = read_names(given) if Path(given).is_file() else [name.strip() for name in given.split(",")]
    names = [name for name in names if name]
    folded = [fold(name) for name in names]
    twice = sorted({name for name in folded if folded.count(name) > 1})
    if not names or twice:
        what = f"names {', '.join(twice)} twice" if twice else "holds no name"
        raise InputError(
            f'--classes {what}; pass each class once, as in --classes "robin,blue tit" or in a file'
        )
    return names


@torch.no_grad()
def classify(
    method: PromptMethod,
    rows: Float[Tensor, "classes features"],
    transform: Transform,
    images: Sequence[Path],
    *,
    top: int = 3,
    batch_size: int = 32,
) -> Iterator[Answer]:
    """Answers in the images' order; an image that cannot be read gets the reason instead of classes.

    Args:
        method: of the finished run, with the classes to distinguish.
        rows: its classifier, a unit row per class.
        transform: of test images.
        images: paths.
        top: classes per answer.
        batch_size: images in one pass.
    """

    def read(path: Path) -> Tensor | str:
        try:
            return transform(read_image(path))
        except (ImageError, OSError) as error:
            return str(error) if isinstance(error, ImageError) else (error.strerror or str(error))

    with ThreadPoolExecutor(4) as pool:
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            read_ones = list(pool.map(read, batch))
            pixels = [one for one in read_ones if isinstance(one, Tensor)]
            likely = iter(_most_likely(method, rows, pixels, top))
            for path, one in zip(batch, read_ones, strict=True):
                yield (
                    Answer(str(path), error=one) if isinstance(one, str) else Answer(str(path), next(likely))
                )


def _most_likely(
    method: PromptMethod, rows: Tensor, pixels: list[Tensor], top: int
) -> list[tuple[tuple[str, float], ...]]:
    if not pixels:
        return []
    with method.autocast():
        features = method.encode_images(torch.stack(pixels).to(method.tower.device))
    best = method.classify(features, rows).float().softmax(dim=1).topk(min(top, len(rows)), dim=1)
    return [
        tuple((method.classnames[i], p) for i, p in zip(classes, shares, strict=True))
        for classes, shares in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def as_csv(answers: Sequence[Answer]) -> str:
    """A line for every image and rank: image, rank, class, probability, error."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("image", "rank", "class", "probability", "error"))
    for answer in answers:
        for rank, (name, share) in enumerate(answer.classes, start=1):
            table.writerow((answer.image, rank, name, f"{share:.6f}", ""))
        if answer.error:
            table.writerow((answer.image, "", "", "", answer.error))
    return text.getvalue()


def as_json(answers: Sequence[Answer]) -> str:
    """A list with one object per image: `image` with `classes`, or with `error`."""
    return json.dumps(
        [
            {"image": a.image, "error": a.error}
            if a.error
            else {"image": a.image, "classes": [{"name": n, "probability": p} for n, p in a.classes]}
            for a in answers
        ],
        ensure_ascii=False,
    )


def as_line(answer: Answer) -> str:
    """One image for people."""
    if answer.error:
        return f"{answer.image}: cannot be read: {answer.error}"
    return f"{answer.image}: " + ", ".join(f"{name} {100 * share:.1f} %" for name, share in answer.classes)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 if every image was read, 1 if some were not."""
    options = _parser().parse_args(argv)
    if options.top < 1:
        raise InputError(f"--top must be 1 or more, not {options.top}")
    if options.batch_size < 1:
        raise InputError(f"--batch-size must be 1 or more, not {options.batch_size}")
    images = find_images(options.images)
    if options.csv:
        refuse_overwriting(options.csv, options.record, options.classes, *images)
    run = open_finished(options.record, choose_device(options.device))
    names = names_of(run, options.classes)
    if len(names) < 2:
        raise InputError(
            f"every image would be 100 % {names[0]}, the only class; name what else it may show, as in "
            f'--classes "{names[0]},something else"'
        )
    method = run.method(names)
    rows = run.classifier(method, new_classes=options.new_classes)
    began = time.perf_counter()
    answers: list[Answer] = []
    for answer in classify(
        method, rows, run.transform, images, top=options.top, batch_size=options.batch_size
    ):
        answers.append(answer)
        if not options.json:
            print(as_line(answer), flush=True)
    seconds = time.perf_counter() - began
    if options.json:
        print(as_json(answers))
    if options.csv:
        print(f"written: {write_atomic(options.csv, as_csv(answers))}", file=sys.stderr)
    broken = sum(bool(answer.error) for answer in answers)
    not_read = f", {broken} not read" if broken else ""
    print(
        f"{counted(len(answers), 'image')}{not_read}, {counted(len(method.classnames), 'class')}; "
        f"{len(answers) / seconds:.1f} images/s on {method.tower.device}",
        file=sys.stderr,
    )
    return int(broken > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.classify", description=__doc__)
    parser.add_argument(
        "record", type=Path, help="record of the run, OUT/*.json; its learned tensors lie beside it"
    )
    parser.add_argument("images", nargs="+", help="image files, folders, or patterns such as 'new/*.jpg'")
    parser.add_argument(
        "--classes",
        default="",
        help="names with commas between, or a file of names; default: all the run knows",
    )
    parser.add_argument("--top", type=int, default=3, help="classes per image (default 3)")
    parser.add_argument(
        "--new-classes",
        choices=("learned", "handcrafted"),
        default="learned",
        help="prompts of classes without training images: the learned one, or the ensemble of handcrafted ones",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.add_argument("--csv", type=Path, help="write a CSV file too")
    parser.add_argument("--batch-size", type=int, default=32, help="images in one pass (default 32)")
    parser.add_argument("--device", default="", help="cpu, cuda or cuda:N; default: a GPU if there is one")
    return parser


if __name__ == "__main__":
    with one_line_errors():
        raise SystemExit(main())
