"""The page docs/drop-in.md: its loops train with SAR, and a trainer in the official style equals a recorded run."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import cross_entropy, normalize

import sar_reg
from sar_reg.errors import InputError
from sar_reg.shapes import Tensor
from tests import GOLDEN, ROOT
from tests.parity.traces import GRADIENT, START, Trace, assert_near, traces_of
from tests.prompting import huggingface_model
from tests.prompting.models import clip


class PromptLearner(nn.Module):
    """The context between a fixed prefix and suffix of embedded tokens, one row for each class."""

    def __init__(self, classnames: list[str], clip: nn.Module, tokenize, n_ctx: int) -> None:
        super().__init__()
        placeholder = " ".join(["X"] * n_ctx)
        self.tokenized_prompts = tokenize([f"{placeholder} {name.replace('_', ' ')}." for name in classnames])
        embedded = clip.token_embedding(self.tokenized_prompts).detach()
        self.ctx = nn.Parameter(torch.empty(n_ctx, embedded.shape[-1]))
        self.register_buffer("token_prefix", embedded[:, :1])
        self.register_buffer("token_suffix", embedded[:, 1 + n_ctx :])

    def forward(self) -> Tensor:
        ctx = self.ctx.expand(len(self.token_prefix), -1, -1)
        return torch.cat([self.token_prefix, ctx, self.token_suffix], dim=1)


class CustomCLIP(nn.Module):
    """Logits over the base classes and the text features of all classes: the change that SAR asks for."""

    def __init__(self, classnames: list[str], clip: nn.Module, tokenize, n_ctx: int) -> None:
        super().__init__()
        self.prompt_learner = PromptLearner(classnames, clip, tokenize, n_ctx)
        self.clip = clip

    def encode_text(self) -> Tensor:
        prompts = self.prompt_learner() + self.clip.positional_embedding
        x = self.clip.ln_final(self.clip.transformer(prompts, attn_mask=self.clip.attn_mask))
        ends = self.prompt_learner.tokenized_prompts.argmax(dim=-1)
        return x[torch.arange(len(x)), ends] @ self.clip.text_projection

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor] | Tensor:
        text_features = F.normalize(self.encode_text(), dim=-1)
        image_features = F.normalize(self.clip.encode_image(image), dim=-1)
        logits = self.clip.logit_scale.exp() * image_features @ text_features.T
        logits = logits[:, : self.n_base]
        return (logits, text_features) if self.prompt_learner.training else logits


@pytest.fixture(scope="module")
def trace() -> Trace:
    return next(t for name in traces_of(GOLDEN, "CoOp") if (t := Trace(GOLDEN, name)).has_sar)


@pytest.fixture(scope="module")
def trainer(trace: Trace) -> CustomCLIP:
    n_ctx = trace["init/prompt_learner.ctx"].shape[0]
    model = CustomCLIP(trace.classnames, trace.model, trace.tokenizer, n_ctx)
    model.n_base = trace.n_base
    model.prompt_learner.ctx.data.copy_(trace["init/prompt_learner.ctx"])
    return model


def test_in_evaluation_the_trainer_gives_logits_alone(trace: Trace, trainer: CustomCLIP) -> None:
    trainer.prompt_learner.eval()
    logits = trainer(trace.images[0])
    trainer.prompt_learner.train()
    assert logits.shape == (len(trace.images[0]), trace.n_base)
    assert torch.equal(logits, trainer(trace.images[0])[0])


def test_first_step_of_a_foreign_trainer_equals_the_recorded_one(trace: Trace, trainer: CustomCLIP) -> None:
    output, text_features = trainer(trace.images[0])
    sar = sar_reg.similarity_alignment_loss(
        text_features, trace["target"], temperature=trace.meta["tau"], indices=trace["idx"][0].long()
    )
    loss = F.cross_entropy(output, trace.labels) + trace.meta["lam"] * sar
    trainer.zero_grad()
    loss.backward()
    assert_near("loss", loss[None], trace["steps/total"][:1], START)
    recorded = trace["grad0/prompt_learner.ctx"]
    assert_near("gradient", trainer.prompt_learner.ctx.grad, recorded, GRADIENT)


def test_the_module_gives_that_trainer_a_gradient_through_novel_classes(
    trace: Trace, trainer: CustomCLIP
) -> None:
    target = F.normalize(trace["target"].float(), dim=1)
    bank = sar_reg.AnchorBank(tuple(trace.classnames), trace.n_base, target, trace.meta["tau"])
    sar = sar_reg.SimilarityAlignmentLoss(bank, sample_size=4)
    _, text_features = trainer(trace.images[0])
    text_features.retain_grad()
    sar(text_features, trace.classnames).backward()
    assert (text_features.grad[trace.n_base :].abs().sum(dim=1) > 0).all()


def test_another_order_of_classes_is_refused(trace: Trace) -> None:
    target = F.normalize(trace["target"].float(), dim=1)
    bank = sar_reg.AnchorBank(tuple(trace.classnames), trace.n_base, target, trace.meta["tau"])
    sar = sar_reg.SimilarityAlignmentLoss(bank)
    with pytest.raises(InputError, match=r"order"):
        sar(target, trace.classnames[::-1])


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
