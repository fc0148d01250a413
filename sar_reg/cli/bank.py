"""`python -m sar_reg bank`: encode base and novel classes with an open_clip model."""

from __future__ import annotations

import argparse
from typing import Any

import torch

from sar_reg.bank.anchor_bank import move
from sar_reg.bank.build import build_anchor_bank
from sar_reg.bank.templates import SPECIFIC, resolve_templates
from sar_reg.cli.arguments import is_special, output_file
from sar_reg.cli.open_clip_model import MODEL, PRETRAINED, load_open_clip
from sar_reg.cli.terminal import give, give_json, tell
from sar_reg.cli.words import add_class_arguments, class_list, novel_source
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
    model.add_argument("--model", default=MODEL, help="open_clip's name (default: %(default)s)")
    model.add_argument(
        "--pretrained", default=PRETRAINED, help="open_clip's tag, or a file (default: %(default)s)"
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
        "-o", "--output", type=output_file, required=True, metavar="FILE", help="a .safetensors file"
    )
    result.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("-v", "--verbose", action="store_true", help="log requests and replies")
    parser.set_defaults(run=run, kept="no bank was written")


def run(options: argparse.Namespace) -> int:
    """Build the bank, write it and print its report; 0 if all went well."""
    base = class_list(options.base)
    exclude = class_list(options.exclude) if options.exclude else []
    beside = None if is_special(options.output) else options.output.with_name(f"{options.output.stem}.cache")
    cache = options.cache or beside
    progress = ProgressLine("names")
    source = novel_source(options, progress)
    if isinstance(source, ResumableSource):
        options.kept = f"no bank was written; what was received is kept in {cache}" if cache else options.kept
        source = source.with_cache(cache)
    if options.dry_run:
        give(preview_novel_classes(source, base, options.n, exclude=exclude, seed=options.seed))
        return 0
    templates = resolve_templates([options.templates] if "{}" in options.templates else options.templates)
    move(torch.empty(0), options.device)  # a wrong device should not wait for the weights
    model, tokenizer = load_open_clip(
        options.model, options.pretrained, options.device, offline=options.offline
    )
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
    give_json(report.as_dict()) if options.json else give(report)
    tell(f"{bank!r} in {options.output}")
    return 0
