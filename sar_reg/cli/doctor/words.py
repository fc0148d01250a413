"""Which sources of novel class names can be used here."""

from __future__ import annotations

import importlib.util
import os

from sar_reg.cli.doctor.finding import Finding
from sar_reg.errors import InputError, install_command
from sar_reg.novel.llm.client import chosen_url


def check_words() -> list[Finding]:
    """WordNet as shipped, and the way to a language model; no request is sent."""
    return [_wordnet(), _language_model()]


def _wordnet() -> Finding:
    subject = "words: WordNet"
    try:
        from sar_reg.novel import WordNetClasses

        words = WordNetClasses().generate(["golden retriever", "tabby cat"], 2)
    except Exception as error:  # any error here is a finding
        fact, advice = (
            f"cannot be used ({type(error).__name__}: {error})",
            "reinstall the package; its word data is cut",
        )
        return Finding(subject, "failure", fact, advice)
    return Finding(subject, "ok", f"near two pets it finds {', '.join(words)}")


def _language_model() -> Finding:
    subject = "words: language model"
    if importlib.util.find_spec("openai") is None:
        return Finding(subject, "note", "the client is not installed", install_command("llm"))
    try:
        address, key = chosen_url(None), os.environ.get("OPENAI_API_KEY")
    except InputError as error:
        return Finding(subject, "warning", str(error), "WordNet needs neither a key nor a server")
    if not address and not key:
        advice = "set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own; WordNet needs neither"
        return Finding(subject, "note", "no key and no server address in the environment", advice)
    where = address or "the address built into the client"
    fact = f"OPENAI_API_KEY is {'set' if key else 'not set'}; server: {where} (not contacted)"
    return Finding(subject, "ok", fact)
