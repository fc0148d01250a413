"""Rebuild the testbed: `python -m examples.testbed.rebuild --work FOLDER [STEP ...]`, all steps in order by default.

Steps keep their results in FOLDER, resume where they stopped, and write the shipped files at the end.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save

from examples.testbed.model import DATA, untrained_model
from examples.testbed.rebuild import downstream, joint, packages, record, text, vision
from examples.testbed.rebuild.material import Material, material
from examples.testbed.rebuild.optimizer import optimizers
from examples.testbed.rebuild.training import train
from sar_reg.files import write_atomic

TEXT_STEPS, VISION_STEPS, JOINT_STEPS = 450, 3400, 600
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.testbed.rebuild", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for packages and checkpoints")
    parser.add_argument("steps", nargs="*", metavar="STEP", choices=[[], *STEPS], help=", ".join(STEPS))
    arguments = parser.parse_args()
    for step in arguments.steps or STEPS:
        STEPS[step](arguments.work)


def train_text(work: Path) -> None:
    made = material(work)
    model = fresh(made)
    model.visual.requires_grad_(False)
    loss = functools.partial(text.text_loss, model, made)
    train("text", model, loss, optimizers(model, 2e-3, 0.05, muon_rate=0.02), work=work, steps=TEXT_STEPS)


def train_vision(work: Path) -> None:
    made = material(work)
    model = fresh(made)
    model.requires_grad_(False).visual.requires_grad_(True)
    source = vision.PictureSource(made)
    vision.prepare(model, source)
    loss = functools.partial(vision.vision_loss, model, made, source)
    train("vision", model, loss, optimizers(model, 2e-3, 0.05, muon_rate=0.02), work=work, steps=VISION_STEPS)


def train_joint(work: Path) -> None:
    made = material(work)
    model = fresh(made)
    towers = {
        phase: torch.load(work / f"{phase}.pt", weights_only=True)["model"] for phase in ("text", "vision")
    }
    visual = {name: tensor for name, tensor in towers["vision"].items() if name.startswith("visual.")}
    model.load_state_dict(towers["text"] | visual)
    model.logit_scale.data.fill_(math.log(vision.SCALE))
    source = vision.PictureSource(made)
    loss = functools.partial(joint.joint_loss, model, made, source)
    train("joint", model, loss, optimizers(model, 5e-4, 0.05, muon_rate=0.005), work=work, steps=JOINT_STEPS)


def pack_datasets(work: Path) -> None:
    downstream.pack(work, material(work))


def export(work: Path) -> None:
    """Write the shipped weights (fp16) and vocabulary."""
    made = material(work)
    state = torch.load(work / "joint.pt", weights_only=True)["model"]
    DATA.mkdir(exist_ok=True)
    write_atomic(DATA / "model.safetensors", save({name: tensor.half() for name, tensor in state.items()}))
    write_atomic(DATA / "vocabulary.json", json.dumps(made.pieces, ensure_ascii=False) + "\n")


def fresh(made: Material) -> open_clip.CLIP:
    torch.manual_seed(SEED)
    return untrained_model(made.tokenizer.vocab_size)


STEPS = {
    "fetch": packages.fetch,
    "datasets": pack_datasets,
    "text": train_text,
    "vision": train_vision,
    "joint": train_joint,
    "export": export,
    "record": record.record,
}

if __name__ == "__main__":
    main()
