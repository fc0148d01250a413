"""`python -m sar_reg novel`: make a list of novel classes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sar_reg.cli.arguments import add_result_arguments
from sar_reg.cli.class_options import add_class_arguments, asked_for, show_preview
from sar_reg.cli.terminal import give, give_json, tell
from sar_reg.errors import InputError, counted
from sar_reg.files import is_special, write_atomic
from sar_reg.novel import LLMClasses, NovelNames
from sar_reg.progress import ProgressLine
from sar_reg.version import __version__

_DESCRIPTION = (
    "Make a list of novel classes for a list of base classes. Prints one name a line, or writes a JSON file "
    "that also records where the names came from. Answers of a language model are kept beside that file, prompt "
    "and time included, and a second call asks only for what is missing."
)


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "novel", help="make a list of novel classes", description=_DESCRIPTION
    )
    add_class_arguments(parser)
    output = "JSON, or one name a line if it ends in .txt"
    add_result_arguments(
        parser, output, endings=(".json", ".txt"), required=False, json="print JSON instead of lines"
    )
    parser.set_defaults(run=run, kept="nothing was written")


def run(options: argparse.Namespace) -> int:
    """Make the list; 0 if all went well."""
    progress = ProgressLine("names")
    place = Path("novel.json") if not options.output or is_special(options.output) else options.output
    base, exclude, source = asked_for(options, progress, place.with_name(f"{place.stem}.answers"))
    if options.cache and not isinstance(source, LLMClasses):
        raise InputError(
            f"--cache has no effect with --novel {options.novel:.60}; leave it out, or pass --novel llm"
        )
    if options.dry_run:
        return show_preview(options, base, exclude, source)
    with progress:
        made = source.generate(base, options.n_novel, exclude=exclude, seed=options.seed)
    names = list(made)
    about = dict(made.provenance) if isinstance(made, NovelNames) else {}
    entry = {
        "names": names,
        "source": about,
        "base": base,
        "excluded": len(exclude),
        "seed": options.seed,
        "made_by": f"sar_reg {__version__}",
    }
    lines, place = "".join(f"{name}\n" for name in names), ""
    if options.output:
        as_text = options.output.suffix.lower() == ".txt"
        write_atomic(
            options.output, lines if as_text else json.dumps(entry, indent=1, ensure_ascii=False) + "\n"
        )
        place = f" in {options.output}"
    if options.json:
        give_json(entry)
    elif not options.output and names:
        give(lines.removesuffix("\n"))
    dropped: dict[str, int] = about.get("outcome", {}).get("dropped", {})
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none"
    tell(f"{counted(len(names), 'novel class')} (dropped: {reasons}){place}")
    return 0
