"""The arguments about class names that several commands share, and the source of novel classes they describe."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from sar_reg.cli.arguments import address, count, number
from sar_reg.errors import InputError
from sar_reg.novel import LLMClasses, NovelSource, WordList, WordNetClasses, read_names


def class_list(text: str) -> list[str]:
    """Class names from a file, or from the text itself, separated by commas.

    Raises:
        InputError: if it is a folder, looks like a file that does not exist, or holds no name.
    """
    if os.path.isdir(text):
        raise InputError(
            f"{text} is a folder; give a file with one name a line, or names separated by commas"
        )
    if os.path.exists(text):
        return read_names(text)
    if "," not in text and (os.sep in text or Path(text).suffix in (".txt", ".json", ".csv")):
        raise InputError(
            f"there is no file {text:.300}; give a file with one name a line, or names separated by commas"
        )
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError("no class names: give a file with one name a line, or names separated by commas")
    return names


def add_class_arguments(parser: argparse.ArgumentParser) -> None:
    """Base classes, excluded ones, how many novel ones, and from where."""
    names = parser.add_argument_group("classes")
    names.add_argument("--base", required=True, metavar="FILE|a,b", help="classes that have training images")
    names.add_argument(
        "--exclude",
        metavar="FILE|a,b",
        help="names that must not be used, such as a benchmark's new classes; they never enter a prompt",
    )
    names.add_argument("--n", type=count, default=200, help="novel classes wanted (default: %(default)s)")
    names.add_argument("--allow-fewer", action="store_true", help="take fewer when there are no more")
    names.add_argument("--seed", type=int, default=0, help="of the random draws (default: %(default)s)")
    names.add_argument(
        "--filtering",
        choices=("strict", "exact"),
        default="strict",
        help="strict drops other spellings (plural, word order) of base classes, exact only the same names "
        "(default: %(default)s)",
    )
    source = parser.add_argument_group("source of novel classes")
    source.add_argument(
        "--source",
        choices=("wordnet", "llm", "file"),
        help="WordNet needs no key and no network (default: file if --words is given, else wordnet)",
    )
    source.add_argument("--words", metavar="FILE", help="file: one word a line, or JSON")
    source.add_argument(
        "--strategy",
        choices=("related", "random"),
        default="related",
        help="wordnet: neighbours of the base classes, or any nouns (default: %(default)s)",
    )
    source.add_argument(
        "--wordnet-root", metavar="DIR", help="wordnet: another WordNet than the packaged one"
    )
    source.add_argument(
        "--domain",
        metavar="TEXT",
        help="what all classes are: llm: one line on the data set, wordnet: one noun",
    )
    _add_llm_arguments(parser)


def _add_llm_arguments(parser: argparse.ArgumentParser) -> None:
    llm = parser.add_argument_group("language model", "The key is read from the environment: OPENAI_API_KEY.")
    llm.add_argument(
        "--llm", default="gpt-4o", metavar="MODEL", help="name of the model (default: %(default)s)"
    )
    llm.add_argument(
        "--base-url",
        type=address,
        metavar="URL",
        help="an OpenAI-compatible server, such as http://localhost:8000/v1",
    )
    llm.add_argument("--temperature", type=number, help="sent to the server if given")
    llm.add_argument(
        "--timeout", type=number, default=60.0, help="seconds for one answer (default: %(default)s)"
    )
    llm.add_argument("--max-requests", type=count, help="bound on all requests, repeats included")
    llm.add_argument(
        "--cache", type=Path, metavar="DIR", help="keeps what is received, so that a second call goes on"
    )
    llm.add_argument("--offline", action="store_true", help="never touch the network")
    llm.add_argument(
        "--dry-run", action="store_true", help="print the prompt and an estimate of tokens; ask nobody"
    )


def novel_source(options: argparse.Namespace, progress: Callable[[int, int], None] | None) -> NovelSource:
    """The source that the arguments describe.

    Raises:
        InputError: if they contradict each other.
    """
    kind = options.source or ("file" if options.words else "wordnet")
    if kind == "file":
        if not options.words:
            raise InputError("--source file needs --words FILE")
        return WordList(options.words, filtering=options.filtering, allow_fewer=options.allow_fewer)
    if options.words:
        raise InputError(f"--words FILE belongs to --source file, not to --source {kind}")
    if kind == "wordnet":
        return WordNetClasses(
            options.strategy,
            options.wordnet_root,
            domain=options.domain,
            filtering=options.filtering,
            allow_fewer=options.allow_fewer,
        )
    return LLMClasses(
        options.llm,
        base_url=options.base_url,
        domain=options.domain,
        temperature=options.temperature,
        filtering=options.filtering,
        timeout=options.timeout,
        max_requests=options.max_requests,
        allow_fewer=options.allow_fewer,
        cache_dir=options.cache,
        offline=options.offline,
        progress=progress,
    )
