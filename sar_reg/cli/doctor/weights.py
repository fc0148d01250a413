"""Are a CLIP model's weights on this machine, the right ones, and used with the right activation?"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from sar_reg.cli.doctor.finding import Finding
from sar_reg.cli.open_clip_model import Loaded, load_open_clip
from sar_reg.errors import InputError, MissingExtraError, require
from sar_reg.prompting.towers import text_tower

HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def check_weights(name: str, pretrained: str) -> tuple[list[Finding], Loaded | None]:
    """Find, hash, load and fingerprint the weights; nothing is downloaded.

    Args:
        name: model name in open_clip.
        pretrained: a tag of open_clip, or a file.
    """
    subject = f"weights {name} {pretrained}"
    try:
        open_clip: Any = require("open_clip", extra="open_clip")
    except MissingExtraError as error:
        return [Finding(subject, "note", "cannot be checked", str(error))], None
    given = os.path.isfile(pretrained)
    file, known = (Path(pretrained), "") if given else _on_disk(open_clip, name, pretrained)
    if file is None:
        return [_absent(open_clip, subject, name, pretrained)], None
    findings = _activation(open_clip, subject, name, pretrained)
    try:
        findings.insert(0, _file(subject, file, known))
        loaded = load_open_clip(name, str(file))
    except (InputError, OSError) as error:
        return [*findings, Finding(subject, "failure", str(error))], None
    tower: Any = text_tower(loaded.model, loaded.tokenizer)
    mark = tower.fingerprint()[:16]
    fact = f"text tower {mark}..., width {tower.width}, temperature {tower.temperature:.4f}"
    return [*findings, Finding(subject, "ok", fact)], loaded


def _absent(open_clip: Any, subject: str, name: str, tag: str) -> Finding:
    tags: list[str] = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        advice = f"use a file or one of: {', '.join(tags) or '(no tag)'}"
        return Finding(subject, "failure", f"open_clip {open_clip.__version__} knows no such weights", advice)
    load = f"import open_clip; open_clip.create_model('{name}', pretrained='{tag}')"
    advice = f'download once (some hundred MB):\npython -c "{load}"'
    return Finding(subject, "note", "not on this machine", advice)


def _on_disk(open_clip: Any, name: str, tag: str) -> tuple[Path | None, str]:
    """The cached file of a tag, and its sha256 if its address contains it."""
    settings: dict[str, Any] = open_clip.get_pretrained_cfg(name, tag) or {}
    address = str(settings.get("url", ""))
    plain = Path("~/.cache/clip").expanduser() / os.path.basename(address)
    if address and plain.is_file():
        known = address.split("/")[-2]
        return plain, known if len(known) == 64 else ""
    model_id, file = os.path.split(str(settings.get("hf_hub", "")))
    if model_id:
        hub: Any = require("huggingface_hub", extra="open_clip")
        for candidate in (file,) if file else HUB_FILES:
            cached = hub.try_to_load_from_cache(model_id, candidate)
            if isinstance(cached, str):
                return Path(cached), ""
    return None, ""


def _file(subject: str, file: Path, known: str) -> Finding:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if known and digest != known:
        fact = f"{file} is damaged: sha256 {digest}, expected {known}"
        return Finding(subject, "failure", fact, "delete it")
    return Finding(subject, "ok", f"{file}, sha256 {digest}{' as published' if known else ''}")


def _activation(open_clip: Any, subject: str, name: str, pretrained: str) -> list[Finding]:
    settings: dict[str, Any] = open_clip.get_pretrained_cfg(name, pretrained) or {}
    model: dict[str, Any] = open_clip.get_model_config(name) or {}
    if not settings.get("quick_gelu") or model.get("quick_gelu"):
        return []
    fact = "the weights were trained with QuickGELU and this model uses GELU: accuracy drops without an error"
    return [Finding(subject, "warning", fact, f"use the model {name}-quickgelu")]
