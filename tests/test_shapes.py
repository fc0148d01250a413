"""The shapes in signatures hold at run time, for every public function."""

from __future__ import annotations

import re
import subprocess
import sys

from tests import ROOT

SHAPED = re.compile(r"from sar_reg\.shapes import .*(Float|Int|Bool)")
# PyTorch reads the annotations of operators itself; a Protocol that is not for run time cannot be checked there
UNCHECKABLE = re.compile(r"custom_op|\(Protocol\)|import triton")


def checked_modules() -> list[str]:
    """Modules with shapes in their signatures, whatever they are called today."""
    found: list[str] = []
    for path in sorted((ROOT / "sar_reg").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if SHAPED.search(text) and not UNCHECKABLE.search(text):
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    return found


# In a process of its own: modules are checked from their import on, and torch.compile does not trace the checks.
CHECKED = """
from jaxtyping import install_import_hook
install_import_hook({modules}, "beartype.beartype")
"""

CALLS = """
import torch
from sar_reg import *
from sar_reg.bank import encode_templates
from sar_reg.prompting import ImagePromptEncoder, text_tower
from tests.prompting.models import NAMES, WIDTH, clip, learnable

for sampling in ("ring", "independent"):
    sample_classes(90, 7, seed=1, step=2, sampling=sampling)
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
images = torch.rand(3, 3, 32, 32, dtype=torch.float64)
ImagePromptEncoder(model)(images, learnable(2, 48), [learnable(2, 48)]).sum().backward()
encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
prompt = LearnedPrompt(encoder, encoder.context_from_words("a photo of a"))
assert len(prompt.classifier(["lynx", "puma"])) == 2

bank = build_anchor_bank(model, None, NAMES[:4], novel=NAMES[4:], templates=["a photo of a {}.", "{} texture."])
bank.overlap(["lynx"], torch.randn(1, bank.embeddings.shape[1]))
bank.report(["lynx"])
AnchorBank.load(bank.subset(n_novel=1).to("cpu").save(FILE))
build_anchor_bank(lambda texts: torch.randn(len(texts), 5), None, NAMES, templates=["{}"])
encode_templates(text_tower(model), NAMES, ["{}"])
sar = SimilarityAlignmentLoss(bank, sample_size=2)
sar(bank.embeddings.clone().requires_grad_()).backward()
print(bank.embeddings.shape)
"""

WRONG = """
import torch
from jaxtyping import TypeCheckError
from sar_reg.bank.report import Named, find_overlap
from sar_reg.sampled_kl.reference import row_kl

for call in (
    lambda: row_kl(torch.randn(5, 3), torch.randn(4, 3), torch.zeros(5, 2, dtype=torch.int64), 0.1, reverse=False),
    lambda: find_overlap(Named(("a",), torch.eye(1)), ["b"], torch.zeros(2)),
):
    try:
        call()
    except TypeCheckError as error:
        print("refused:", str(error).splitlines()[0])
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    start = CHECKED.format(modules=checked_modules())
    return subprocess.run(
        [sys.executable, "-c", start + code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_modules_of_all_public_functions_are_checked() -> None:
    public = {
        "bank.anchor_bank",
        "bank.build",
        "bank.encoding",
        "prompting.encoder",
        "prompting.image_prompts",
    }
    public |= {"prompting.learned_prompt", "sampled_kl.api", "sampled_kl.sampling", "sampled_kl.reference"}
    assert {f"sar_reg.{name}" for name in public} <= set(checked_modules())


def test_shapes_hold_in_every_mode_and_wrong_ones_are_found(tmp_path) -> None:
    done = run(f"FILE = {str(tmp_path / 'bank.safetensors')!r}\n{CALLS}\n{WRONG}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "torch.Size([6, 16])" in done.stdout
    assert done.stdout.count("refused: ") == 2
