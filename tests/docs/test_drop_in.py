"""SAR in a trainer written in the style of the official ones, held against a recorded run of CoOp with SAR."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import sar_reg
from sar_reg.errors import InputError
from sar_reg.shapes import Tensor
from tests import GOLDEN
from tests.parity.traces import GRADIENT, START, Trace, assert_near, traces_of


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
