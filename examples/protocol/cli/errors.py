"""How a command ends when something is wrong: one line and a status, no traceback."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import partial
from typing import Any

from sar_reg.errors import InputError, SarRegError, require


@contextmanager
def one_line_errors(when_stopped: str = "") -> Generator[None]:
    """Turn a user's mistake into one line and status 2, and Ctrl-C into status 130.

    Args:
        when_stopped: what a user can do after Ctrl-C, such as `goes_on(...)`.
    """
    try:
        yield
    except BrokenPipeError:  # the reader, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("examples", "sar_reg"):
            raise
        print(
            f'error: the package {error.name} is not installed; pip install -e ".[examples]" in the repository '
            "brings it",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    except (SarRegError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f"stopped; {when_stopped}" if when_stopped else "stopped", file=sys.stderr)
        raise SystemExit(130) from None


def goes_on(*, fresh: bool = False) -> str:
    """How a command continues whose finished work is kept.

    Args:
        fresh: it repeats finished work, and would do so again.
    """
    if fresh:
        return "without --fresh it goes on from here and keeps the earlier runs that were not repeated yet"
    return "the same command goes on from here"


def read_options(kind: type, argv: Sequence[str] | None, **settings: Any) -> Any:
    """Options of a command, read with tyro; what is wrong with them is one sentence instead of several in a frame.

    Args:
        kind: the dataclass of the options.
        argv: arguments, those of the process by default.
        settings: further arguments of `tyro.cli`.

    Raises:
        InputError: if an option is wrong.
    """
    parse = partial(require("tyro", extra="examples").cli, kind, args=argv, **settings)
    with redirect_stderr(io.StringIO()):
        try:
            return parse()
        except SystemExit as ended:
            if ended.code != 2:
                raise
    frame, width = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"  # or a long word would be cut
    try:
        with redirect_stderr(frame), redirect_stdout(io.StringIO()), suppress(SystemExit):
            parse()
    finally:
        os.environ.pop("COLUMNS")
        os.environ.update({"COLUMNS": width} if width else {})
    raise InputError(sentence_in(frame.getvalue()))


def sentence_in(frame: str) -> str:
    """What tyro says in its frame: the message, and the options it takes for the ones that were meant."""
    parts: list[list[str]] = [[]]
    for line in frame.splitlines():
        text = line.strip(" │|")
        if not text.strip("─-") or text[0] in "╭╰+":
            parts.append([])
        else:
            parts[-1].append(text)
    filled = [part for part in parts if part]
    message, *more = (
        filled if frame.lstrip()[0] in "╭+" else filled[1:]
    )  # without frames the title comes first
    # "error: " stands before it anyway, and no user knows the parts of the options
    sentence = re.sub(r"^Error parsing ((recipe|source): )*", "", " ".join(message))
    meant = [line for part in more if part[0].startswith("Perhaps") for line in part if line.startswith("--")]
    return sentence + (f"; did you mean {' or '.join(meant)}?" if meant else "")
