"""Python, packages, graphics cards, the kernels that run on them, and the sources of class names."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import torch

from sar_reg.cli.doctor.finding import Finding
from sar_reg.errors import InputError, counted, install_command
from sar_reg.novel.llm.client import chosen_url

REQUIRED = ("torch", "numpy", "safetensors")
EXTRAS = {
    "examples": "training and the commands of the examples",
    "open_clip": "models of open_clip",
    "transformers": "CLIP models of Hugging Face",
    "wordnet": "another version of WordNet",
    "llm": "novel classes from a language model",
    "completion": "completion of commands in a shell",
    "cluster": "sweeps across GPUs and machines",
}
"""What a user needs each extra for; its packages are read from the installed metadata."""


def check_environment() -> list[Finding]:
    """Versions, processors, cards and Triton."""
    system = f"{platform.system()} {platform.machine()}, {counted(os.cpu_count() or 1, 'CPU')}"
    python = Finding("python", "ok", f"Python {platform.python_version()}, {system}")
    return [python, *_packages(), *_cards(), _triton()]


def free_space(folder: Path) -> Finding:
    """How much more fits on the disk that `folder` is, or will be, on."""
    place = Path(os.path.realpath(folder))  # unlike resolve(), it takes links that lead in a circle
    there = next(parent for parent in (place, *place.parents) if parent.exists())
    free = shutil.disk_usage(there).free / 2**30
    fact = f"{free:.0f} GiB free at {there}; ImageNet takes 150, SUN397 37, the others 25"
    return Finding("disk", "note", fact)


def _packages() -> list[Finding]:
    needed = ", ".join(f"{name} {_version(name)}" for name in ("sar-reg", *REQUIRED))
    optional = optional_packages()
    advice = "" if optional else "install sar-reg to see the optional packages: pip install ."
    found = [Finding("packages", "ok", needed, advice)]
    for name, extra in optional.items():
        if installed := _version(name):
            found.append(Finding(name, "ok", installed))
        else:
            found.append(Finding(name, "note", f"not installed; for {EXTRAS[extra]}", install_command(extra)))
    return found


def optional_packages() -> dict[str, str]:
    """Package → the last of `EXTRAS` that installs it, by the metadata; empty if sar_reg is not installed."""
    with suppress(PackageNotFoundError):
        needed = requires("sar-reg") or []
        return {
            re.split(r"[^\w.-]", requirement)[0]: extra
            for extra in EXTRAS
            for requirement in needed
            if requirement.endswith(f"extra == '{extra.replace('_', '-')}'")
        }
    return {}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "" if distribution != "sar-reg" else "from a checkout"


def _cards() -> list[Finding]:
    cuda: Any = torch.cuda
    if not cuda.is_available():
        advice = "training on the testbed takes minutes on a CPU; the real data sets need an NVIDIA GPU"
        return [Finding("gpu", "note", "none that PyTorch can use", advice)]
    found: list[Finding] = []
    for index, card in enumerate(map(cuda.get_device_properties, range(cuda.device_count()))):
        bf16 = "bf16" if card.major >= 8 else "no bf16: use precision fp32 or fp16"
        kind = f"compute capability {card.major}.{card.minor}, {bf16}"
        found.append(
            Finding(f"gpu {index}", "ok", f"{card.name}, {card.total_memory / 2**30:.0f} GiB, {kind}")
        )
    return found


def _triton() -> Finding:
    without = "the loss uses its PyTorch implementation"
    if importlib.util.find_spec("triton") is None:
        return Finding("triton", "note", f"not installed; {without}", "pip install triton")
    if not torch.cuda.is_available():
        return Finding("triton", "note", f"{_version('triton')}, without a GPU; {without}")
    return Finding("triton", "ok", f"{_version('triton')}; the loss can use its kernels")


def check_words() -> list[Finding]:
    """WordNet as shipped, and the configuration of a language model; no request is sent."""
    return [_wordnet(), _language_model()]


def _wordnet() -> Finding:
    subject = "words: WordNet"
    try:
        from sar_reg.novel import WordNetClasses

        words = WordNetClasses().generate(["golden retriever", "tabby cat"], 2)
    except Exception as error:  # any error here is a finding
        fact, advice = (
            f"cannot be used ({type(error).__name__}: {error})",
            "reinstall the package; its word data is cut",
        )
        return Finding(subject, "failure", fact, advice)
    return Finding(subject, "ok", f"near two pets it finds {', '.join(words)}")


def _language_model() -> Finding:
    subject = "words: language model"
    if importlib.util.find_spec("openai") is None:
        return Finding(subject, "note", "the client is not installed", install_command("llm"))
    try:
        address, key = chosen_url(None), os.environ.get("OPENAI_API_KEY")
    except InputError as error:
        return Finding(subject, "warning", str(error), "WordNet needs neither a key nor a server")
    if not address and not key:
        advice = "set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own; WordNet needs neither"
        return Finding(subject, "note", "no key and no server address in the environment", advice)
    where = address or "the address built into the client"
    fact = f"OPENAI_API_KEY is {'set' if key else 'not set'}; server: {where} (not contacted)"
    return Finding(subject, "ok", fact)
