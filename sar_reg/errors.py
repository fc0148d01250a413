"""The errors a user of this package can meet, and the import of optional packages."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType

__all__ = [
    "InputError",
    "MissingExtraError",
    "SarRegError",
    "WriteError",
    "counted",
    "did_you_mean",
    "require",
]


class SarRegError(Exception):
    """Base class of every error that `sar_reg` raises on purpose."""


class InputError(SarRegError, ValueError):
    """An argument or a file is wrong; the message states what was expected, what was passed and what to do."""


class WriteError(InputError, OSError):
    """A file cannot be written; the message contains its path and the reason."""


class MissingExtraError(SarRegError, ImportError):
    """An optional package is not installed; the message holds the command that installs it."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional package; if it is missing, raise an error with the command that installs it.

    Args:
        module: name of the module, such as `"openai"`.
        extra: the extra of `sar-reg` that installs it, such as `"llm"`.

    Raises:
        MissingExtraError: if the module cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f'this needs the package "{module.partition(".")[0]}", which cannot be imported ({error}). '
            f"Install it with: {install_command(extra)}"
        ) from error


def install_command(extra: str) -> str:
    """How to install an extra, as long as the package is not on PyPI."""
    return f'pip install ".[{extra}]" in a clone of the sar_reg repository'


def counted(n: int, noun: str) -> str:
    """A number with its noun in the singular or plural, for messages.

    >>> counted(1, "class"), counted(2, "novel class"), counted(0, "image"), counted(2, "category")
    ('1 class', '2 novel classes', '0 images', '2 categories')
    >>> counted(1, "category"), counted(2, "day")
    ('1 category', '2 days')
    """
    if n == 1:
        return f"{n} {noun}"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{n} {noun[:-1]}ies"
    return f"{n} {noun}{'es' if noun.endswith('s') else 's'}"


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of a message that names the most similar known name; empty if none is similar.

    >>> did_you_mean("animal", ["animals", "food"])
    '; did you mean animals?'
    >>> did_you_mean("cars", ["animals", "food"])
    ''
    """
    folded = {name.lower(): name for name in known}
    found = difflib.get_close_matches(given.lower(), folded, n=1)
    return f"; did you mean {folded[found[0]]}?" if found else ""
