"""The README's diff is the difference between its first program and plain CoOp, and both run."""

from __future__ import annotations

import re

from tests import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> list[str]:
    found = re.search(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1].splitlines()


def test_without_the_added_lines_the_program_is_plain_coop() -> None:
    program, removed = block("python"), []
    for line in block("diff"):
        if line.startswith("-"):
            removed.append(line[1:])
            continue
        place = program.index(line[1:])  # every added line stands in the program
        program[place : place + 1] = [removed.pop()] if removed else []
    assert not removed
    plain = "\n".join(program).replace("import sar_reg\n", "", 1)
    assert not re.search(r"\bbank\b|\bsar\b|Similarity", plain)
    names: dict = {}
    exec("import sar_reg\n" + plain, names)
    assert names["text"].shape[0] == len(names["base_classes"])
    assert names["context"].grad.abs().sum() > 0


def test_with_sar_the_loss_is_larger_by_the_weighted_term() -> None:
    names: dict = {}
    exec("\n".join(block("python")), names)
    expected = names["cross_entropy"](names["logits"], names["labels"])
    names["sar"].step.zero_()
    expected = expected + 0.1 * names["sar"](names["text"])
    assert names["loss"].item() > 0
    assert abs(names["loss"].item() - expected.item()) < 1e-5


def test_the_first_screen_explains_the_terms() -> None:
    first = README.partition("## See it work")[0]
    for term in ("*base* classes", "*new* classes", "*novel* classes", "*H*"):
        assert f"| {term} |" in first
