"""The options about class names that several commands share, and the source of novel classes they describe."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from sar_reg.cli.arguments import address, count, number
from sar_reg.cli.terminal import give
from sar_reg.errors import InputError, did_you_mean
from sar_reg.novel import LLMClasses, NovelSource, WordList, WordNetClasses, read_names
from sar_reg.progress import ProgressLine

_ADVICE = "give a file with one name a line, or names separated by commas"


def class_list(text: str) -> list[str]:
    """Class names from a file, or from the text itself, separated by commas.

    Raises:
        InputError: if it is a folder, looks like a file that does not exist, or holds no name.
    """
    if os.path.isdir(text):
        raise InputError(f"{text} is a folder; {_ADVICE}")
    if os.path.exists(text):
        return read_names(text)
    if "," not in text and (os.sep in text or Path(text).suffix in (".txt", ".json", ".csv")):
        raise InputError(f"there is no file {text:.300}; {_ADVICE}")
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError(f"no class names: {_ADVICE}")
    return names


def add_class_arguments(parser: argparse.ArgumentParser) -> None:
    """Base classes, excluded ones, how many novel ones, and from where."""
    add = parser.add_argument_group("classes").add_argument
    add("--base", required=True, metavar="FILE|a,b", help="classes that have training images")
    add(
        "--exclude",
        metavar="FILE|a,b",
        help="names that must not be used, such as a benchmark's new classes; they never enter a prompt",
    )
    add("--n-novel", type=count, default=200, help="novel classes wanted (default: %(default)s)")
    add("--allow-fewer", action="store_true", help="take fewer when there are no more")
    add("--seed", type=int, default=0, help="of the random draws (default: %(default)s)")
    add(
        "--filtering",
        choices=("strict", "exact"),
        default="strict",
        help="strict drops other spellings (plural, word order) of base classes, exact only the same names "
        "(default: %(default)s)",
    )
    add = parser.add_argument_group("source of novel classes").add_argument
    add(
        "--novel",
        default="related",
        metavar="related|random|llm|FILE",
        help="related: neighbours of the base classes in WordNet, random: any nouns of it, both without key and "
        "network; llm: a language model; or a file with one name a line, or JSON (default: %(default)s)",
    )
    add("--wordnet-root", metavar="DIR", help="related, random: another WordNet than the packaged one")
    add(
        "--domain",
        metavar="TEXT",
        help="what all classes are; llm: one line on the data set, related: one noun",
    )
    llm = parser.add_argument_group("language model", "The key is read from the environment: OPENAI_API_KEY.")
    add = llm.add_argument
    add("--llm", default="gpt-4o", metavar="MODEL", help="name of the model (default: %(default)s)")
    server = "an OpenAI-compatible server, such as http://localhost:8000/v1"
    add("--base-url", type=address, metavar="URL", help=server)
    add("--temperature", type=number, help="sent to the server if given")
    add("--timeout", type=number, default=60.0, help="seconds for one answer (default: %(default)s)")
    add("--max-requests", type=count, help="bound on all requests, repeats included")
    add("--cache", type=Path, metavar="DIR", help="keeps what is received, so that a second call continues")
    add("--offline", action="store_true", help="never touch the network")
    add("--dry-run", action="store_true", help="print the prompt and an estimate of tokens; send nothing")


def novel_source(options: argparse.Namespace, progress: ProgressLine | None = None) -> NovelSource:
    """The source that the options describe.

    Raises:
        InputError: if there is no such source and no such file.
    """
    shared: dict[str, Any] = {"filtering": options.filtering, "allow_fewer": options.allow_fewer}
    if options.novel in ("related", "random"):
        return WordNetClasses(options.novel, options.wordnet_root, domain=options.domain, **shared)
    if options.novel != "llm":
        if not os.path.exists(options.novel):
            hint = did_you_mean(options.novel, ("related", "random", "llm"))
            raise InputError(
                f"--novel takes related, random, llm or a file with names; there is no file {options.novel!r:.60}{hint}"
            )
        return WordList(options.novel, **shared)
    return LLMClasses(
        options.llm,
        base_url=options.base_url,
        domain=options.domain,
        temperature=options.temperature,
        timeout=options.timeout,
        max_requests=options.max_requests,
        cache_dir=options.cache,
        offline=options.offline,
        progress=progress,
        **shared,
    )


def show_preview(
    options: argparse.Namespace, source: NovelSource, base: list[str], exclude: list[str]
) -> int:
    """Print what would be sent, for `--dry-run`."""
    if isinstance(source, LLMClasses):
        give(source.preview(base, options.n_novel, exclude=exclude, seed=options.seed))
    else:
        give(f"{source!r} sends no requests")
    return 0
