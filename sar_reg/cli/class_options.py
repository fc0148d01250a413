"""The options about class names that several commands share, and the source of novel classes they describe."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

from sar_reg.cli.arguments import count
from sar_reg.cli.terminal import give
from sar_reg.errors import InputError, did_you_mean
from sar_reg.files import refuse_overwriting
from sar_reg.novel import LLMClasses, NovelSource, WordList, WordNetClasses, read_names
from sar_reg.novel.source import ResumableSource
from sar_reg.progress import ProgressLine

LLM, TIMEOUT = "gpt-4o", 60.0
_LISTS = (".txt", ".json", ".csv")
_NOT_A_CLASS = {"base", "base_classes", "class", "classes", "classnames", "labels", "names", "new", "words"}
_FILE_ENDING = re.compile(r"\w\.[a-z]\w{0,9}$")
_ONLY_FOR = {
    "wordnet_root": ("related", "random"),
    "domain": ("related", "llm"),
    "llm": ("llm",),
    "base_url": ("llm",),
    "temperature": ("llm",),
    "timeout": ("llm",),
    "max_requests": ("llm",),
}
"""Options that only some sources read: option → values of --novel."""
_ADVICE = "pass a file with one name a line, or names separated by commas"


def class_list(text: str) -> list[str]:
    """Class names from a file, or from the text itself, separated by commas.

    Raises:
        InputError: if it is a folder, looks like a file that does not exist, or holds no name.
    """
    if os.path.isdir(text):
        raise InputError(f"{text} is a folder; {_ADVICE}")
    if os.path.exists(text):
        return read_names(text)
    if "," not in text and (os.sep in text or _FILE_ENDING.search(text)):
        raise InputError(f"there is no file {text:.300}; {_ADVICE}")
    lists = [name for name in os.listdir() if Path(name).stem == text and Path(name).suffix in _LISTS]
    if lists or text in _NOT_A_CLASS:
        hint = f"; did you mean {min(lists)}?" if lists else f"; {_ADVICE}."
        raise InputError(f"there is no file {text}{hint} To use the word as a name, write {text + ','!r}")
    if other := re.search(r"[;|\t\n]", text):
        raise InputError(f"{text!r:.60} contains {other[0]!r}; {_ADVICE}")
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
    add("--seed", type=int, default=0, help="seed of the random draws (default: %(default)s)")
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
    add("--llm", metavar="MODEL", help=f"name of the model (default: {LLM})")
    server = "an OpenAI-compatible server, such as http://localhost:8000/v1"
    add("--base-url", metavar="URL", help=server)
    add("--temperature", type=float, help="sent to the server if it is set")
    add("--timeout", type=float, help=f"seconds for one answer (default: {TIMEOUT:g})")
    add("--max-requests", type=int, help="bound on all requests, repeats included")
    add("--cache", type=Path, metavar="DIR", help="keeps what is received, so that a second call continues")
    add("--offline", action="store_true", help="never touch the network")
    add("--dry-run", action="store_true", help="print the prompt and an estimate of tokens; send nothing")


def asked_for(
    options: argparse.Namespace, progress: ProgressLine, beside: Path | None
) -> tuple[list[str], list[str], NovelSource]:
    """Base classes, excluded names, and the source of novel ones, which keeps its answers in --cache or `beside`."""
    if options.json and options.dry_run:
        raise InputError("--json has no effect with --dry-run; leave one of them out")
    if options.output:
        files = (getattr(options, name, None) for name in ("base", "exclude", "novel", "pretrained"))
        refuse_overwriting(options.output, *filter(None, files))
    base = class_list(options.base)
    exclude = class_list(options.exclude) if options.exclude else []
    source, cache = novel_source(options, progress), options.cache or beside
    if cache and isinstance(source, ResumableSource):
        source = source.with_cache(cache)
        options.kept += f"; what was received is kept in {cache}, and the same command continues from there"
    return base, exclude, source


def novel_source(options: argparse.Namespace, progress: ProgressLine | None = None) -> NovelSource:
    """The source that the options describe.

    Raises:
        InputError: if there is no such source and no such file, and for options of other sources.
    """
    for name, kinds in _ONLY_FOR.items():
        if getattr(options, name) is not None and options.novel not in kinds:
            flag, needed = name.replace("_", "-"), " or ".join(f"--novel {kind}" for kind in kinds)
            raise InputError(
                f"--{flag} has no effect with --novel {options.novel:.60}; leave it out, or pass {needed}"
            )
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
        LLM if options.llm is None else options.llm,
        base_url=options.base_url,
        domain=options.domain,
        temperature=options.temperature,
        timeout=TIMEOUT if options.timeout is None else options.timeout,
        max_requests=options.max_requests,
        offline=options.offline,
        progress=progress,
        **shared,
    )


def show_preview(
    options: argparse.Namespace, base: list[str], exclude: list[str], source: NovelSource
) -> int:
    """Print what would be sent, for `--dry-run`."""
    if isinstance(source, ResumableSource):
        give(source.preview(base, options.n_novel, exclude=exclude, seed=options.seed))
    else:
        give(f"{source!r} sends no requests")
    return 0
