"""`python -m examples.export RECORD -o head.safetensors`: a class matrix that works without this package."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save as serialize

from examples.classify import names_of
from examples.protocol.cli.errors import one_line_errors
from examples.protocol.data.transforms import pixels_of
from examples.protocol.runs.finished import FinishedRun, Prompts, open_finished
from sar_reg.errors import InputError, counted
from sar_reg.files import refuse_overwriting, write_atomic


def export(
    run: FinishedRun, classnames: Sequence[str], path: Path, *, new_classes: Prompts = "learned"
) -> Path:
    """Write `classifier` (N, D), unit rows, and `logit_scale`; all else is in the file's metadata.

    An image's logits are `logit_scale * (f / |f|) @ classifier.T` with f the image feature of the frozen model.

    Raises:
        InputError: for a method that changes the image features (MaPLe, CoPrompt).
    """
    if run.method_class.trains_image_side:
        raise InputError(
            f"{run.config.method} changes the image tower too, so a class matrix alone is not enough; "
            "use python -m examples.classify, or export a run of CoOp, KgCoOp or TCP"
        )
    method = run.method(classnames)
    rows = run.classifier(method, new_classes=new_classes).cpu().contiguous()
    pixels = pixels_of(run.model)
    scale = 1 / method.tower.temperature
    metadata = {
        "format": "sar_reg.head/1",
        "classnames": json.dumps(list(method.classnames), ensure_ascii=False),
        "logit_scale": repr(scale),
        "image_size": str(pixels.size),
        "mean": json.dumps(pixels.mean),
        "std": json.dumps(pixels.std),
        "transform": "RGB; shorter side to image_size, bicubic; centre crop; / 255; - mean; / std",
        "model": run.config.source.model,
        "pretrained": run.config.source.pretrained,
        "image_fingerprint": run.record["model"]["image_fingerprint"],
        "method": run.config.title,
        "run": run.record["identity"],
        "new_classes": new_classes,
    }
    return write_atomic(path, serialize({"classifier": rows, "logit_scale": torch.tensor(scale)}, metadata))


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.export", description=__doc__)
    parser.add_argument(
        "record", type=Path, help="record of the run, OUT/*.json; its learned tensors lie beside it"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="the file to write, such as head.safetensors"
    )
    parser.add_argument(
        "--classes",
        default="",
        help="names with commas between, or a file of names; default: all the run knows",
    )
    parser.add_argument(
        "--new-classes",
        choices=("learned", "handcrafted"),
        default="learned",
        help="prompts of classes without training images: the learned one, or the ensemble of handcrafted ones",
    )
    options = parser.parse_args(argv)
    run = open_finished(options.record, torch.device("cpu"))
    names = names_of(run, options.classes)
    refuse_overwriting(
        options.out, *(options.record.with_suffix(end) for end in (".json", ".safetensors")), options.classes
    )
    path = export(run, names, options.out, new_classes=options.new_classes)
    print(f"{path}: {counted(len(names), 'class')}, for images of {run.config.source.model}")


if __name__ == "__main__":
    with one_line_errors():
        main()
