"""Files: atomic writes, keys made from content, and damaged cache entries."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

__all__ = ["content_key", "set_aside", "write_atomic"]

log = logging.getLogger(__name__)


def write_atomic(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write `content` to `path` through a temporary file in the same folder, creating the folder.

    Args:
        path: where the file goes; an existing file is replaced in one step.
        content: bytes, or text that is stored as UTF-8.

    Returns:
        The path that was written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8") if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def content_key(**parts: Any) -> str:
    """20 hex digits that change when any of the JSON values in `parts` does, the same in every process.

    Examples:
        >>> content_key(names=["cat"], seed=0) == content_key(seed=0, names=["cat"])
        True
        >>> content_key(names=["cat"], seed=0) == content_key(names=["cat"], seed=1)
        False
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def set_aside(path: Path, why: object) -> None:
    """Rename a damaged cache file to `NAME.damaged-…`, so that the next run builds it again."""
    aside = path.with_name(f"{path.name}.damaged-{uuid.uuid4().hex[:6]}")
    log.warning("cache entry %s is damaged (%s); it is set aside as %s and made anew", path, why, aside.name)
    try:
        path.rename(aside)
    except FileNotFoundError:  # another process was faster
        return
