"""`python -m examples.coprompt.describe`: descriptions of classes by a language model, in CoPrompt's file format."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.coprompt.descriptions import read_descriptions
from examples.protocol.cli.errors import goes_on, one_line_errors, read_options
from sar_reg.class_names import spoken
from sar_reg.errors import SarRegError, counted
from sar_reg.files import write_atomic
from sar_reg.novel import read_names
from sar_reg.novel.llm import Conversation, names_in, open_client

LONGEST = 40
"""Most words in a sentence, so that it fits CLIP's 77 tokens."""
PATIENCE = 3
"""Give up on a class after this number of answers without a new sentence."""

ENDINGS = {
    "schema": 'Answer with JSON of the form {"names": ["sentence", "sentence"]} and nothing else.',
    "json": 'Answer with JSON of the form {"names": ["sentence", "sentence"]} and nothing else.',
    "list": "Answer with a numbered list of sentences and nothing else.",
}


@dataclass(frozen=True)
class DescribeOptions:
    """Write descriptions of classes with a language model."""

    classes: Path
    """File with class names: one per line, or a JSON list."""
    out: Path
    """Output file; classes that it already describes are skipped."""
    n: int = 50
    """Number of sentences per class."""
    domain: str = ""
    """What the images show, in one line, such as "breeds of cats and dogs"."""
    model: str = "gpt-4o"
    """Name of the model on the server."""
    base_url: str = ""
    """URL of an OpenAI-compatible server; if empty, OPENAI_BASE_URL or OpenAI. OPENAI_API_KEY holds the key."""
    timeout: float = 60.0
    """Time limit for one answer, in seconds."""


def prompt(name: str, count: int, domain: str, known: Sequence[str], form: str) -> str:
    """The prompt for `count` sentences about one class."""
    about = f" The pictures show {domain}." if domain else ""
    written = "".join(f"\n- {sentence}" for sentence in known)
    wanted = counted(count, "different English sentence")
    return (
        f'Describe what the class "{name}" looks like in a picture.{about} Write {wanted} '
        f'of at most {LONGEST} words; each names "{name}" and says something that can be seen.'
        + (f"\nAlready written, do not repeat:{written}" if known else "")
        + f"\n{ENDINGS[form]}"
    )


def describe_class(name: str, n: int, domain: str, talk: Conversation) -> list[str]:
    """Ask until there are `n` different sentences about one class.

    Raises:
        SarRegError: if the server keeps failing, or the model returns no new sentences.
    """
    known: list[str] = []
    barren = 0
    while len(known) < n and barren < PATIENCE:
        missing = n - len(known)
        answer = talk.ask(
            lambda form, known=tuple(known), missing=missing: prompt(name, missing, domain, known, form)
        )
        found = [" ".join(sentence.split()) for sentence in names_in(answer.reply)]
        usable = [sentence for sentence in found if 2 <= len(sentence.split()) <= LONGEST]
        before, known = len(known), list(dict.fromkeys([*known, *usable]))[:n]
        barren = 0 if len(known) > before else barren + 1
    if len(known) < n:
        raise SarRegError(
            f"{talk.model} wrote {len(known)} of {counted(n, 'different sentence')} about {name!r}; "
            "ask for fewer with --n"
        )
    return known


def describe(names: Sequence[str], options: DescribeOptions, client: Any = None) -> dict[str, list[str]]:
    """Describe every class that `options.out` does not describe yet, and write the file after each class."""
    done = read_descriptions(options.out) if options.out.is_file() else {}
    with open_client(client, options.base_url or None) as opened:
        for number, name in enumerate((spoken(name) for name in names), start=1):
            if len(done.get(name, ())) >= options.n:
                continue
            print(f"{number}/{len(names)} {name}", file=sys.stderr)
            talk = Conversation(opened, options.model, options.timeout, max_requests=PATIENCE * 8)
            done[name] = describe_class(name, options.n, options.domain, talk)
            write_atomic(options.out, json.dumps(done, indent=1, ensure_ascii=False))
    return done


def main(argv: Sequence[str] | None = None) -> None:
    """The command line; errors are printed in one line."""
    with one_line_errors(goes_on()):
        options: DescribeOptions = read_options(
            DescribeOptions, argv, prog="python -m examples.coprompt.describe"
        )
        described = describe(read_names(options.classes), options)
    print(f"{options.out}: {counted(len(described), 'class')}")


if __name__ == "__main__":
    main()
