"""Every Python snippet of the README and the docs runs; those of one page share a namespace, in order."""

from __future__ import annotations

import re
from pathlib import Path

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
