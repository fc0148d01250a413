"""`python -m sar_reg bank`: encode base and novel classes with an open_clip model."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from sar_reg.bank.build import build_anchor_bank
from sar_reg.bank.templates import SPECIFIC, resolve_templates
from sar_reg.cli.terminal import tell
from sar_reg.cli.words import add_class_arguments, class_list, novel_source
from sar_reg.errors import InputError, did_you_mean, require
from sar_reg.novel.source import ResumableSource, preview_novel_classes
from sar_reg.progress import ProgressLine

_DESCRIPTION = (
    "Encode base and novel class names with the text tower of an open_clip model. The file holds the features, "
    "the names and where they came from, the templates and a fingerprint of the model; "
    "sar_reg.AnchorBank.load reads it."
)


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "bank",
        help="encode base and novel classes into a file",
        description=_DESCRIPTION,
    )
    add_class_arguments(parser)
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model", default="ViT-B-16-quickgelu", help="open_clip's name (default: %(default)s)"
    )
    model.add_argument(
        "--pretrained", default="openai", help="open_clip's tag, or a file (default: %(default)s)"
    )
    model.add_argument(
        "--templates",
        default="imagenet",
        metavar="KEY|TEXT",
        help=f"one of {', '.join(SPECIFIC)}, or a prompt of your own with {{}} (default: %(default)s)",
    )
    model.add_argument("--device", default="cpu", help="where to encode (default: %(default)s)")
    result = parser.add_argument_group("result")
    result.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="a .safetensors file"
    )
    result.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell what is asked and answered")
    parser.set_defaults(run=run, kept="no bank was written")


def run(options: argparse.Namespace) -> int:
    """Build the bank, write it and print its report; 0 if all went well."""
    base = class_list(options.base)
    exclude = class_list(options.exclude) if options.exclude else []
    cache = options.cache or options.output.with_name(f"{options.output.stem}.cache")
    progress = ProgressLine("names")
    source = novel_source(options, progress)
    if isinstance(source, ResumableSource):
        options.kept = f"no bank was written; what was received is kept in {cache}"
        source = source.with_cache(cache)
    if options.dry_run:
        print(preview_novel_classes(source, base, options.n, exclude=exclude, seed=options.seed))
        return 0
    templates = resolve_templates([options.templates] if "{}" in options.templates else options.templates)
    model, tokenizer = _open_clip_model(options)
    try:
        bank = build_anchor_bank(
            model,
            tokenizer,
            base,
            novel=source,
            n_novel=options.n,
            templates=templates,
            exclude=exclude,
            seed=options.seed,
            cache_dir=cache,
            progress=True,
            offline=options.offline,
        )
    finally:
        progress.end()
    bank.save(options.output)
    report = bank.report(exclude)
    print(json.dumps(report.as_dict(), indent=1, ensure_ascii=False) if options.json else report)
    tell(f"{bank!r} in {options.output}")
    return 0


def _open_clip_model(options: argparse.Namespace) -> tuple[Any, Any]:
    if options.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    open_clip: Any = require("open_clip", extra="open_clip")
    if ":" not in options.model and options.model not in open_clip.list_models():
        raise InputError(
            f"open_clip has no model {options.model!r}{did_you_mean(options.model, open_clip.list_models())}; "
            "see python -c 'import open_clip; print(open_clip.list_models())'"
        )
    try:
        model = open_clip.create_model(options.model, pretrained=options.pretrained, device=options.device)
        return model.eval(), open_clip.get_tokenizer(options.model)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"open_clip cannot load {options.model} with weights {options.pretrained!r} "
            f"({type(error).__name__}: {str(error)[:300]}); `python -m sar_reg doctor` says what is missing"
        ) from error
