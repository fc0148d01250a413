"""Content-addressed files: a key made of all that changes the content, and what to do with a damaged one."""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


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
    """Rename a damaged cache file to `NAME.damaged-…`, so that it can be looked at and is made anew."""
    aside = path.with_name(f"{path.name}.damaged-{uuid.uuid4().hex[:6]}")
    log.warning("cache entry %s is damaged (%s); it is set aside as %s and made anew", path, why, aside.name)
    try:
        path.rename(aside)
    except FileNotFoundError:  # another process was faster
        return
