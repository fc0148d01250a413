"""A stranger who copies a loop from docs/drop-in.md, and brings images and labels, trains with SAR."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from tests import ROOT
from tests.prompting import huggingface_model
from tests.prompting.models import clip

PAGE = ROOT / "docs" / "drop-in.md"
IMAGE_SIZE = {"A loop with open_clip": 32, "A loop with transformers": huggingface_model.IMAGE_SIZE}


def copied(title: str) -> str:
    """The Python that the section shows; nothing of what the page hides or says before."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")
    section, _, _ = rest.partition("\n## ")
    return "\n".join(re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE))


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The libraries' own model classes, small and with random weights: the released ones need a network."""
    from transformers import CLIPModel, CLIPTokenizer

    monkeypatch.chdir(tmp_path)  # the loops end with a file
    model = clip(dtype=torch.float32)
    model.logit_scale.data.fill_(math.log(100))
    opened = (model, None, None)
    monkeypatch.setattr(open_clip, "create_model_and_transforms", lambda *_, **__: opened)
    monkeypatch.setattr(CLIPModel, "from_pretrained", lambda _: huggingface_model.clip_model().float())
    monkeypatch.setattr(CLIPTokenizer, "from_pretrained", lambda _: huggingface_model.clip_tokenizer())


def pictures(size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Forty steps over noise of a colour a class."""
    torch.manual_seed(0)
    labels = torch.arange(5).repeat(2)
    images = torch.randn(5, 3, 1, 1)[labels] + 0.3 * torch.randn(10, 3, size, size)
    return 40 * [(images, labels)]


def run(title: str, code: str) -> dict[str, Any]:
    """What the reader's program holds at its end."""
    names: dict[str, Any] = {"loader": pictures(IMAGE_SIZE[title])}
    code = code.replace("lr=0.002", "lr=0.2")  # random weights ask for larger steps than CLIP's
    exec(compile(code, title, "exec"), names)
    return names


def measured(names: dict[str, Any], context: torch.Tensor) -> tuple[float, float]:
    """Cross-entropy on the pictures and SAR over all classes."""
    with torch.no_grad():
        text = names["encoder"](context)
        logits = names["model"].logit_scale.exp() * names["pictured"] @ normalize(text[:5], dim=1).T
        return cross_entropy(logits, names["labels"]).item(), names["sar"].eval()(text).item()


@pytest.mark.parametrize("title", IMAGE_SIZE)
def test_the_loop_learns_and_sar_takes_part(title: str) -> None:
    code = copied(title)
    assert "0.1 * sar(" in code
    assert "lr=0.002" in code
    trained, alone, strong = (run(title, code.replace("0.1 * sar(", f"{lam} * sar(")) for lam in (0.1, 0, 10))

    ce_start, _ = measured(trained, trained["encoder"].context_from_words("a photo of a"))
    ce, sar = measured(trained, trained["context"])
    _, sar_alone = measured(alone, alone["context"])
    _, sar_strong = measured(strong, strong["context"])
    assert ce < 0.8 * ce_start
    assert sar < sar_alone
    assert sar_strong < 0.5 * sar
    assert trained["bank"].n_novel == 20
    assert trained["predicted"].shape == (10,)


@pytest.mark.parametrize("title", IMAGE_SIZE)
def test_a_wrong_order_of_the_names_stops_the_loop(title: str) -> None:
    code = copied(title)
    wrong = code.replace(
        "PromptEncoder(model, tokenizer, bank.classnames",
        "PromptEncoder(model, tokenizer, bank.classnames[::-1]",
    )
    assert wrong != code
    with pytest.raises(ValueError, match=r"row 0 of the features is .*order of bank\.classnames"):
        run(title, wrong)
