"""Files: writing them whole, keys made from content, and damaged cache entries."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from sar_reg.errors import InputError, WriteError

__all__ = ["content_key", "file_path", "refuse_overwriting", "set_aside", "sha256", "write_atomic"]

log = logging.getLogger(__name__)


def file_path(path: object) -> Path:
    """Convert a string or a `Path` to a `Path`.

    Raises:
        InputError: for other types, for an empty path and for a null byte in it.
    """
    if not isinstance(path, str | os.PathLike) or not (text := str(path)) or "\0" in text:
        raise InputError(f"expected the path of a file as text or pathlib.Path, not {path!r:.60}")
    return Path(path)  # pyright: ignore[reportUnknownArgumentType]


def refuse_overwriting(output: str | os.PathLike[str], *read: str | os.PathLike[str]) -> None:
    """Refuse to write a result over a file that it is made from, under whatever path.

    Raises:
        InputError: naming the file.
    """
    for file in read:
        if os.path.isfile(file) and os.path.realpath(file) == os.path.realpath(output):
            raise InputError(
                f"{output} is read here and would be overwritten; name another file for the result"
            )


def write_atomic(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a file so that a reader sees the old content or the new one, never a part; creates the folder.

    Links are followed. A new file gets the permissions that the process's umask allows, an existing one keeps
    its own. Devices, pipes and other special files are written to, not replaced.

    Args:
        path: where the file goes; an existing file is replaced in one step.
        content: bytes, or text that is stored as UTF-8 (lone surrogates as `\\udXXX`).

    Returns:
        The path that was written.

    Raises:
        WriteError: if the file cannot be written, for instance because the disk is full.
    """
    target = file_path(path)
    if not isinstance(content, bytes | str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"the content of {target} must be bytes or text, not {type(content).__name__}")
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        if target.is_dir():
            raise IsADirectoryError("it is a folder; name a file")
        if is_special(target):
            target.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(target)), data)
    except OSError as error:
        raise WriteError(f"cannot write {str(path)!r:.300}: {error!s:.300}") from error
    return target


def is_special(target: Path) -> bool:
    if target.is_absolute() and target.parts[1:2] in (("dev",), ("proc",)):
        return True  # /dev/stdout may lead to a regular file, which must not be replaced under the process
    return target.exists() and not target.is_file()


def _replace(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = None
    with suppress(FileNotFoundError):
        mode = stat.S_IMODE(target.stat().st_mode)
    if mode is not None and not mode & 0o222:
        raise PermissionError("the file is write-protected")
    draft = target.with_name(f".{uuid.uuid4().hex}.tmp")  # short: the target's name may be as long as allowed
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if mode is not None:
            draft.chmod(mode)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def sha256(content: str | bytes) -> str:
    """64 hex digits of the SHA-256 of some text (as UTF-8) or bytes."""
    return hashlib.sha256(
        content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    ).hexdigest()


def content_key(**parts: Any) -> str:
    """20 hex digits that change when any of the JSON values in `parts` does, the same in every process.

    Examples:
        >>> content_key(names=["cat"], seed=0) == content_key(seed=0, names=["cat"])
        True
        >>> content_key(names=["cat"], seed=0) == content_key(names=["cat"], seed=1)
        False
    """
    return sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True, allow_nan=False))[:20]


def set_aside(path: Path, why: object) -> None:
    """Rename a damaged cache file to `NAME.damaged-...`, so that the next run builds it again."""
    aside = path.with_name(f"{path.name}.damaged-{uuid.uuid4().hex[:6]}")
    log.warning("cache entry %s is damaged (%s); it is renamed to %s and rebuilt", path, why, aside.name)
    try:
        path.rename(aside)
    except FileNotFoundError:  # another process was faster
        return
