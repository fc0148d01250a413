"""Run records: one JSON file per run, written atomically; tables and figures read nothing else."""

from __future__ import annotations

import hashlib
import json
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import sar_reg
from sar_reg.files import write_atomic
from sar_reg.shapes import Tensor

FORMAT = "sar_reg.run/2"
PACKAGES = ("torch", "torchvision", "numpy", "open_clip_torch", "pillow", "safetensors")

Record = dict[str, Any]


def identity(settings: Any) -> str:
    """Sha256 over JSON values: equal for runs that compute the same."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Sha256 over names, types and values, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def hash_rows(names: Sequence[str], rows: Tensor) -> str:
    """Sha256 over names and float32 rows, as of an anchor bank."""
    digest = hashlib.sha256(json.dumps(list(names)).encode())
    digest.update(rows.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def write_record(path: Path, record: Record) -> Path:
    """Write a finished run."""
    return write_atomic(path, json.dumps({"format": FORMAT, **record}, indent=1, ensure_ascii=False) + "\n")


def read_record(path: Path) -> Record | None:
    """Read a finished run; None if there is no such file, or if it is damaged or in another format."""
    record = _read(path)
    return record if record is not None and record.get("format") == FORMAT else None


def other_version(record: Path | Record | None) -> str:
    """The end of a message on a run record in a format of another version, with what to do; empty for all else.

    Args:
        record: a record, or its file.

    >>> other_version({"format": "sar_reg.run/1", "git": "ae12"})
    'is of an earlier version (sar_reg.run/1, not sar_reg.run/2): train again, or use the commit that wrote it, ae12'
    """
    record = _read(record) if isinstance(record, Path) else record
    found, (family, _, here) = (record or {}).get("format"), FORMAT.partition("/")
    kind, _, number = found.partition("/") if isinstance(found, str) else ("", "", "")
    if kind != family or not number.isdecimal() or number == here:
        return ""
    age, git = "an earlier" if int(number) < int(here) else "a later", (record or {}).get("git")
    commit = f"the commit that wrote it{f', {git}' if git else ''}"
    return f"is of {age} version ({found}, not {FORMAT}): train again, or use {commit}"


def _read(path: Path) -> Record | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def environment(device: torch.device) -> Record:
    """Command, code revision, versions and hardware of this process."""
    return {
        "command": [Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]],
        "git": _revision(),
        "versions": {
            "python": platform.python_version(),
            "sar-reg": sar_reg.__version__,
            "cuda": torch.version.cuda,
            **{name: _version(name) for name in PACKAGES},
        },
        "hardware": {
            "device": device_name(device),
            "cpu": _cpu_name(),
            "threads": torch.get_num_threads(),
            "system": platform.platform(),
        },
    }


def device_name(device: torch.device) -> str:
    """The GPU's name, or the kind of device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def reset_peak_memory(device: torch.device) -> None:
    """Reset the GPU's peak-memory counter (the process's cannot be reset)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> float:
    """The most memory used, in MiB: the GPU's since the counter was reset if there is one, else the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10  # bytes there, KiB elsewhere


def _revision() -> str | None:
    folder = Path(__file__).parent
    try:
        revision = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()
