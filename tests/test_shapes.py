"""The shapes in signatures hold at run time."""

from __future__ import annotations

import subprocess
import sys

from tests import ROOT

# In a process of its own: modules are checked from their import on, and torch.compile does not trace the checks.
CHECKED = """
from jaxtyping import install_import_hook
modules = {
    "sampled_kl": ("api", "reference", "sampling", "torch_dense", "torch_ring"),
    "prompting": ("attention", "encoder", "layout", "plain", "shared_prefix", "stack", "template_bank"),
}
install_import_hook([f"sar_reg.{p}.{m}" for p, names in modules.items() for m in names], "beartype.beartype")
"""

CALLS = """
import torch
from sar_reg import PromptEncoder, build_anchor_bank, similarity_alignment_loss
from tests.prompting.models import NAMES, WIDTH, clip, learnable

for sampling in ("ring", "independent"):
    for impl in ("torch", "reference"):
        learned, target = learnable(90, 12), torch.randn(90, 12, dtype=torch.float64)
        kl = similarity_alignment_loss(
            learned, target, temperature=0.1, sample_size=7, sampling=sampling, impl=impl, reduction="none"
        )
        kl.sum().backward()

model = clip()
deep = [learnable(4, WIDTH, seed=1), learnable(4, WIDTH, seed=2)]
tokens = {"class_tokens": learnable(len(NAMES), 4, WIDTH), "class_layer": 2}
for options in ({}, {"checkpoint": True}, {"chunk_size": 2}, {"buckets": 2}):
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4, **options)
    for context in (learnable(4, WIDTH), learnable(len(NAMES), 4, WIDTH)):
        for more in ({}, {"deep": deep}, tokens):
            (encoder(context, **more) + encoder.encode_plain(context, **more)).sum().backward()
for position in ("middle", "front"):
    PromptEncoder(model, None, NAMES, n_ctx=4, class_position=position)(learnable(4, WIDTH)).sum().backward()
bank = build_anchor_bank(model, None, NAMES, templates=["a photo of a {}.", "{} texture."])
print(bank.embeddings.shape)
"""

WRONG = """
from sar_reg.sampled_kl.reference import row_kl
import torch
row_kl(torch.randn(5, 3), torch.randn(4, 3), torch.zeros(5, 2, dtype=torch.int64), 0.1, reverse=False)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHECKED + code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_shapes_hold_in_every_mode() -> None:
    done = run(CALLS)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "torch.Size([6, 16])" in done.stdout


def test_a_wrong_shape_is_found() -> None:
    assert "TypeCheckError" in run(WRONG).stderr
