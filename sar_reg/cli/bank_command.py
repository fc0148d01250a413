"""`python -m sar_reg bank`: encode base and novel classes with an open_clip model."""

from __future__ import annotations

import argparse
from typing import Any

from sar_reg.bank.build import build_anchor_bank
from sar_reg.bank.templates import SPECIFIC, resolve_templates
from sar_reg.checks import existing_device
from sar_reg.class_names import refuse_repeats
from sar_reg.cli.arguments import add_result_arguments
from sar_reg.cli.class_options import add_class_arguments, asked_for, show_preview
from sar_reg.cli.open_clip_model import MODEL, PRETRAINED, load_open_clip
from sar_reg.cli.terminal import give, give_json, tell
from sar_reg.errors import InputError, did_you_mean
from sar_reg.files import is_special
from sar_reg.progress import ProgressLine

_DESCRIPTION = (
    "Encode base and novel class names with the text tower of an open_clip model. The file holds the features, "
    "the names and where they came from, the templates and a fingerprint of the model; "
    "sar_reg.AnchorBank.load reads it."
)


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "bank", help="encode base and novel classes into a file", description=_DESCRIPTION
    )
    add_class_arguments(parser)
    parser.add_argument(
        "--allow-repeated", action="store_true", help="accept base classes of one name, as in ImageNet's list"
    )
    add = parser.add_argument_group("model").add_argument
    add("--model", default=MODEL, help="open_clip's name (default: %(default)s)")
    add("--pretrained", default=PRETRAINED, help="open_clip's tag, or a file (default: %(default)s)")
    add(
        "--templates",
        default="imagenet",
        metavar="KEY|TEXT",
        help=f"one of {', '.join(SPECIFIC)}, or a template of your own with {{}} (default: %(default)s)",
    )
    add("--device", default="cpu", help="where to encode (default: %(default)s)")
    add_result_arguments(
        parser,
        "a .safetensors file",
        endings=(".safetensors",),
        required=True,
        json="print the report as JSON",
    )
    parser.set_defaults(run=run, kept="no bank was written")


def run(options: argparse.Namespace) -> int:
    """Build the bank, write it and print its report; 0 if all went well."""
    progress = ProgressLine("names")
    beside = None if is_special(options.output) else options.output.with_name(f"{options.output.stem}.cache")
    base, exclude, source = asked_for(options, progress, beside)
    refuse_repeats(base, len(base), allow_repeated=options.allow_repeated)
    if options.dry_run:
        return show_preview(options, base, exclude, source)
    if "{}" not in options.templates and options.templates not in SPECIFIC:
        raise InputError(
            f"--templates takes one of {', '.join(SPECIFIC)}, or a prompt with {{}} for the class name, not "
            f"{options.templates!r:.60}{did_you_mean(options.templates, SPECIFIC)}"
        )
    templates = resolve_templates([options.templates] if "{}" in options.templates else options.templates)
    existing_device(options.device)  # a wrong device should not wait for the weights
    model = load_open_clip(options.model, options.pretrained, options.device, offline=options.offline)
    with progress:
        bank = build_anchor_bank(
            *model,
            base,
            novel=source,
            n_novel=options.n_novel,
            templates=templates,
            exclude=exclude,
            seed=options.seed,
            cache_dir=options.cache or beside,
            progress=True,
            offline=options.offline,
            allow_repeated=options.allow_repeated,
        )
    bank.save(options.output)
    report = bank.report(exclude)
    give_json(report.as_dict()) if options.json else give(report)
    tell(f"{bank!r} in {options.output}")
    return 0
