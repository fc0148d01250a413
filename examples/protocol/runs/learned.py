"""The file of learned tensors that a run writes, with its metadata and the model that it belongs to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save as serialize

from examples.protocol.method import PromptMethod
from examples.protocol.runs.config import RunConfig
from sar_reg import LearnedPrompt
from sar_reg.files import write_atomic

FORMAT = "sar_reg.learned_method/1"


def save_learned(path: Path, method: PromptMethod, config: RunConfig, run: str) -> Path:
    """Write a finished run's learned tensors.

    A method that learns one context for all classes (CoOp, KgCoOp) leaves a `LearnedPrompt`; the others leave
    their tensors by name under the same entries in the header, to be used with `python -m examples.classify`.
    """
    classnames = method.classnames[: method.n_base]
    lam = config.recipe.lam if config.sar else None
    made: dict[str, Any] = {**config.settings(), "run": run}
    learned = method.learned()
    if learned.keys() == {"ctx"}:
        return LearnedPrompt(
            method.encoder,
            learned["ctx"],
            classnames=classnames,
            model=config.source.model,
            lam=lam,
            made=made,
        ).save(path)
    about = {
        "classnames": classnames,
        "model": config.source.model,
        "fingerprint": method.tower.fingerprint(),
        "lam": lam,
        "made": made,
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in learned.items()}
    metadata = {"format": FORMAT, "prompt": json.dumps(about, ensure_ascii=False)}
    return write_atomic(path, serialize(tensors, metadata))


def run_of(path: Path) -> str:
    """The identity of the run that wrote a file of learned tensors; empty if the file does not contain it."""
    with safe_open(path, framework="pt") as stored:
        about = (stored.metadata() or {}).get("prompt", "{}")
    return json.loads(about).get("made", {}).get("run", "")
