"""How a command ends when something is wrong: one line and a status, no traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

from sar_reg.errors import SarRegError


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
