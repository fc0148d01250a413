"""Reading a recorded run of official code, running ours over the same steps, and comparing.

Tolerances are relative to the largest entry of each array. The recorded runs move by up to 4e-6 at step 0 and
4e-5 after five steps when their inputs are perturbed by 1e-6, gradients by 2e-5: these are a few times that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from examples.protocol.method import PromptMethod, Step
from sar_reg import similarity_alignment_loss
from sar_reg.shapes import Tensor
from tests.golden import reading
from tests.parity.clip_weights import TINY, tiny_clip, tokenizer

START, GRADIENT, AFTER = 1e-5, 5e-5, 1e-4
ABSOLUTE_REGULARISER = 1e-6
"""KgCoOp's regulariser is at first the difference of two numbers that are nearly 1."""

DATASETS = {
    "Caltech101": "caltech101",
    "DescribableTextures": "dtd",
    "EuroSAT": "eurosat",
    "FGVCAircraft": "fgvc_aircraft",
    "Food101": "food101",
    "ImageNet": "imagenet",
    "OxfordFlowers": "oxford_flowers",
    "OxfordPets": "oxford_pets",
    "StanfordCars": "stanford_cars",
    "SUN397": "sun397",
    "UCF101": "ucf101",
}
"""The official name of each data set → its key here."""


def traces_of(folder: Path, method: str) -> list[str]:
    """The recorded runs of one method in a folder, whatever they are called."""
    return [name for name in reading.names(folder) if reading.meta(folder, name).get("method") == method]


class Trace:
    """One recorded run: `meta` and `arrays` as recorded, and what our code needs, in its own terms."""

    def __init__(self, folder: Path, name: str, names: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.names = names or {}  # official start of a learned tensor's name → ours
        self.arrays = reading.read(folder, name)
        self.meta = json.loads(str(self.arrays.pop("meta")))
        sizes = self.meta.get("clip_shapes", TINY)
        self.model, self.clip_sha256 = tiny_clip(self.meta["clip_seed"], tuple(sizes.items()))
        self.tokenizer = tokenizer()
        self.dataset = DATASETS[self.meta["dataset"]]
        self.classnames: list[str] = self.meta["classnames"]
        self.n_base: int = self.meta.get("n_base", len(self.classnames))
        self.has_sar = "idx" in self.arrays
        self.labels = torch.from_numpy(self.arrays["label"])
        self.images = [self[name] for name in ("image", "image2") if name in self.arrays]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    def learned(self, stage: str) -> dict[str, Tensor]:
        """The learned tensors at a stage (`init`, `grad0`, `final`), by our names."""
        start = f"{stage}/"
        return {
            self._ours(name.removeprefix(start)): self[name] for name in self.arrays if name.startswith(start)
        }

    def _ours(self, name: str) -> str:
        name = name.removeprefix("prompt_learner.")
        for official, ours in self.names.items():
            if name.startswith(official):
                return ours + name.removeprefix(official)
        return name

    def option(self, name: str, default: Any) -> Any:
        """An official hyper-parameter, by the last part of its name (`CTX_INIT`)."""
        opts = self.meta.get("opts", [])
        given = {key.split(".")[-1]: value for key, value in zip(opts[::2], opts[1::2], strict=True)}
        return self.meta.get("hyper", {}).get(name, given.get(name, default))

    def optimizer(self, method: PromptMethod) -> torch.optim.Optimizer:
        """The optimiser the run used, over the method's learned tensors."""
        names = ("lr", "momentum", "weight_decay")
        stored = self.meta.get("optimizer") or {name: self.meta[name] for name in names}
        settings = {key: value for key, value in stored.items() if key != "name"}
        kind = torch.optim.Adam if stored.get("name") == "Adam" else torch.optim.SGD
        return kind(method.learned().values(), **settings)


def assert_near(what: str, got: Tensor, recorded: Tensor, tolerance: float) -> None:
    """Fail unless the largest difference is at most `tolerance` times the largest recorded entry."""
    assert got.shape == recorded.shape, f"{what}: shape {tuple(got.shape)}, recorded {tuple(recorded.shape)}"
    difference = (got.detach().double() - recorded.double()).abs().max().item()
    scale = recorded.double().abs().max().item()
    assert difference <= tolerance * scale, (
        f"{what}: off by {difference / scale:.2e}, allowed {tolerance:.0e}"
    )


def assert_tokens(method: PromptMethod, trace: Trace, recorded: str) -> None:
    """Fail unless all token ids agree, but for the slots that learned vectors fill anyway."""
    learned_from, learned_to = 1, 1 + trace["init/prompt_learner.ctx"].shape[-2]
    ours, theirs = method.encoder.tokens.long().clone(), trace[recorded].long().clone()
    ours[:, learned_from:learned_to] = theirs[:, learned_from:learned_to] = 0
    assert torch.equal(ours, theirs), f"{recorded}: token ids differ"


def check_start(method: PromptMethod, trace: Trace) -> None:
    """Token ids, features and logits before the first step."""
    method.load_learned(trace.learned("init"))
    assert_tokens(method, trace, "tokenized_prompts")
    text = method.encode_text()
    if trace.has_sar:
        assert_near("text features", text, trace["text_features"], START)
        return
    assert_near("text features", normalize(text, dim=-1), trace["text_features"], START)
    images = method.encode_images(trace.images[0])
    assert_near("image features", normalize(images, dim=-1), trace["image_features"], START)
    assert_near("logits", method(trace.images[0]), trace["logits"], START)


def check_training(
    method: PromptMethod, trace: Trace, before_step: Callable[[int], None] | None = None
) -> None:
    """Five optimiser steps: every loss term at each, the first gradient, the learned tensors at the end."""
    method.load_learned(trace.learned("init"))
    optimizer = trace.optimizer(method)
    n_steps = len(trace.arrays["steps/total"])
    terms: dict[str, list[float]] = {}
    for number in range(n_steps):
        if before_step is not None:
            before_step(number)
        step = method.step(trace.images, trace.labels)
        loss, values = _with_sar(step, trace, number)
        for name, value in values.items():
            terms.setdefault(name, []).append(float(value.detach()))
        if number == n_steps - 1:
            break  # the last entry is the loss after the fifth step
        optimizer.zero_grad()
        loss.backward()
        if number == 0:
            for name, recorded in trace.learned("grad0").items():
                assert_near(f"gradient of {name}", method.learned()[name].grad, recorded, GRADIENT)
        optimizer.step()
    for name, recorded in trace.learned("final").items():
        assert_near(f"{name} after training", method.learned()[name], recorded, AFTER)
    _check_terms(terms, trace)


def _with_sar(step: Step, trace: Trace, number: int) -> tuple[Tensor, dict[str, Tensor]]:
    if not trace.has_sar:
        return step.loss, {"total": step.loss, **step.terms}
    sar = similarity_alignment_loss(
        step.text_features,
        trace["target"],
        temperature=trace.meta["tau"],
        indices=trace["idx"][number].long(),
        impl="reference",
    )
    loss = step.loss + trace.meta["lam"] * sar
    return loss, {"total": loss, "sar": sar, **step.terms}


def _check_terms(terms: dict[str, list[float]], trace: Trace) -> None:
    for name in (name.removeprefix("steps/") for name in trace.arrays if name.startswith("steps/")):
        recorded = trace[f"steps/{name}"]
        difference = (torch.tensor(terms[name], dtype=torch.float64) - recorded).abs()
        allowed = AFTER * recorded.abs().max() + torch.zeros_like(recorded)
        allowed[0] = START * recorded.abs().max()
        if name.startswith("reg_"):
            allowed = allowed.clamp(min=ABSOLUTE_REGULARISER)
        assert (difference <= allowed).all(), f"{name} in each step: off by {difference.tolist()}"


def check_evaluation(method: PromptMethod, trace: Trace) -> None:
    """Logits after training over all names, and those of the same learned tensors for names never trained on."""
    method.load_learned(trace.learned("final"))
    logits = method.for_classes(trace.classnames)(trace.images[0])
    assert_near("logits in evaluation", logits, trace["eval_logits"], AFTER)
    base = method(trace.images[0])
    assert base.shape[1] == trace.n_base
    assert_near("logits of the trained classes", base, trace["eval_logits"][:, : trace.n_base], AFTER)
    if not trace.has_sar:
        assert_near("logits after training", logits, trace["final_logits"], AFTER)
        text = normalize(method.encode_text(), dim=-1)
        assert_near("text after training", text, trace["final_text_features"], AFTER)
    new = method.for_classes(trace.meta["new_classnames"])
    assert_tokens(new, trace, "new_tokenized_prompts")
    assert_near("logits of new classes", new(trace.images[0]), trace["new_logits"], AFTER)
