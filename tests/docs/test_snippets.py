"""Every Python snippet of README and docs runs, and the README's diff is what SAR adds to plain CoOp.

The snippets of one page share a namespace, in order.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path

import open_clip
import pytest

from tests import ROOT
from tests.prompting import huggingface_model

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A page may prepare what its snippets take as given in a comment that readers do not see.
BLOCK = re.compile(
    r"^(?:```python\n(?P<shown>.*?)^```|<!-- setup\n(?P<hidden>.*?)^-->)", re.DOTALL | re.MULTILINE
)


def snippets(page: Path) -> list[tuple[int, str]]:
    text = page.read_text(encoding="utf-8")
    return [
        (text[: match.start()].count("\n") + 1, match["shown"] or match["hidden"] or "")
        for match in BLOCK.finditer(text)
    ]


@pytest.fixture(autouse=True)
def two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip's ViT-B with two blocks a side in place of twelve; widths, tokens and calls are the same."""
    for name in ("ViT-B-16-quickgelu", "ViT-B-32-quickgelu"):
        config = copy.deepcopy(open_clip.factory._MODEL_CONFIGS[name])
        config["vision_cfg"]["layers"] = config["text_cfg"]["layers"] = 2
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, config)


@pytest.fixture(autouse=True)
def small_hugging_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers' own classes, with random weights in place of those that cannot be had offline."""
    from transformers import CLIPModel, CLIPTokenizer

    monkeypatch.setattr(CLIPModel, "from_pretrained", lambda _: huggingface_model.clip_model().float())
    monkeypatch.setattr(CLIPTokenizer, "from_pretrained", lambda _: huggingface_model.clip_tokenizer())


@pytest.mark.parametrize("page", [p for p in PAGES if snippets(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "snippet"}
    for line, code in snippets(page):
        # The released weights cannot be had offline; the same architecture with random weights runs the same lines.
        code = code.replace('pretrained="openai"', "pretrained=None")
        exec(compile("\n" * line + code, str(page), "exec"), names)


def test_every_page_is_found() -> None:
    assert any(snippets(page) for page in PAGES if page.name == "README.md")


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
