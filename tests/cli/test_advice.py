"""The library names Python's arguments, and each command puts its own options in their place."""

from __future__ import annotations

import ast
import logging
import re
from pathlib import Path

import pytest

import sar_reg
from sar_reg.cli import main, parser
from sar_reg.cli.arguments import in_options
from sar_reg.novel import NovelClassesError, WordList

LIBRARY = Path(sar_reg.__file__).parent


def test_messages_outside_the_commands_name_no_option() -> None:
    found: list[str] = []
    for path in LIBRARY.rglob("*.py"):
        if "cli" in path.relative_to(LIBRARY).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found += re.findall(r"(?<![\w-])--[a-z][\w-]*", node.value)
    assert found == []


def test_every_argument_that_is_replaced_is_an_option() -> None:
    options = parser("sar_reg").parse_args(["bank", "--base", "cat,dog", "-o", "b.safetensors"])
    usage = parser("sar_reg")._subparsers._group_actions[0].choices["bank"].format_help()
    names = (
        "allow_fewer allow_repeated base_url cache_dir domain exclude filtering max_requests n_novel offline"
    )
    for name in f"{names} seed templates temperature timeout wordnet_root".split():
        replaced = in_options(f"pass {name}=", vars(options)).removeprefix("pass ")
        assert re.search(rf"^\s+{replaced}\b", usage, re.MULTILINE), name
    assert in_options("pass impl='torch' or tokenizer=", vars(options)) == "pass impl='torch' or tokenizer="


def test_too_few_words_advise_the_option_or_the_argument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("lynx\npuma\n")
    assert main(["novel", "--base", "tabby cat,beagle", "--novel", str(words), "--n-novel", "9"]) == 1
    shown = capsys.readouterr().err
    assert shown.endswith("; add words, ask for fewer, or pass --allow-fewer\n")
    with pytest.raises(NovelClassesError) as caught:
        WordList(words).generate(["beagle"], 9)
    assert str(caught.value) == f"{caught.value.fact}; {caught.value.advice}"
    assert caught.value.advice == "add words, ask for fewer, or pass allow_fewer=True"


def test_warnings_advise_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's, which keep the command from adding its own
    assert main(["novel", "--base", "zorp,quux,blargh", "--n-novel", "3"]) == 0
    shown = capsys.readouterr().err
    assert shown.startswith("WARNING: WordNet knows 0 of 3 classes: ")
    assert "Describe the classes by a domain, use an LLM" in shown
