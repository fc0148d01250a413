"""The state of a run in one safetensors file: enough to go on as if nothing had happened."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize

from examples.protocol.method import PromptMethod
from sar_reg.files import write_atomic
from sar_reg.shapes import Tensor

FORMAT = "sar_reg.checkpoint/1"


def save_checkpoint(
    path: Path,
    method: PromptMethod,
    optimizer: torch.optim.Optimizer,
    sar: torch.nn.Module | None,
    *,
    run: str,
    progress: dict[str, Any],
) -> None:
    """Write learned tensors, optimiser, SAR's step count, all generators, and `progress` (JSON values)."""
    tensors = {f"learned/{name}": tensor for name, tensor in method.learned().items()}
    for number, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{name}": value for name, value in slots.items() if value is not None}
    if sar is not None:
        tensors |= {f"sar/{name}": value for name, value in sar.state_dict().items()}
    tensors |= {f"generator/{name}": state for name, state in _torch_generators().items()}
    metadata = {
        "format": FORMAT,
        "run": run,
        "progress": json.dumps(progress),
        "generators": json.dumps(_python_generators()),
    }
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, serialize(stored, metadata))


def load_checkpoint(
    path: Path,
    method: PromptMethod,
    optimizer: torch.optim.Optimizer,
    sar: torch.nn.Module | None,
    *,
    run: str,
) -> dict[str, Any] | None:
    """Put everything back as `save_checkpoint` found it; None if there is nothing to resume from.

    A file that is damaged or belongs to another run counts as none: the run then starts at the beginning.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT or metadata.get("run") != run:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 — not a mapping
    except (FileNotFoundError, SafetensorError):
        return None
    method.load_learned(_under(tensors, "learned/"))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _under(tensors, "optimizer/").items():
        number, slot = name.split("/")
        state.setdefault(int(number), {})[slot] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    if sar is not None:
        sar.load_state_dict(_under(tensors, "sar/"))
    _restore_generators(_under(tensors, "generator/"), json.loads(metadata["generators"]))
    return json.loads(metadata["progress"])


def _under(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _torch_generators() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def _python_generators() -> dict[str, Any]:
    numpy = np.random.get_state(legacy=False)
    numbers = [numpy["state"]["key"].tolist(), numpy["state"]["pos"]]
    return {
        "python": random.getstate(),
        "numpy": [numpy["bit_generator"], *numbers, numpy["has_gauss"], numpy["gauss"]],
    }


def _restore_generators(states: dict[str, Tensor], others: dict[str, Any]) -> None:
    torch.set_rng_state(states.pop("cpu"))
    if torch.cuda.is_available() and len(states) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([states[f"cuda{i}"] for i in range(len(states))])
    version, numbers, gauss_next = others["python"]
    random.setstate((version, tuple(numbers), gauss_next))
    kind, keys, position, has_gauss, gauss = others["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
