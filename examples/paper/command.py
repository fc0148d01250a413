"""`python -m examples.paper table3 --data ROOT`: do the missing runs, render the finished ones."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from examples.paper.engine import Failure
from examples.paper.modelled import modelled_table
from examples.paper.options import PUBLISHED, PaperOptions, check_options
from examples.paper.rehearsal import rehearse
from examples.paper.reproduce import reproduce
from examples.paper.sweep import NAMES
from examples.protocol.cli.errors import goes_on, one_line_errors, read_options


def main(argv: Sequence[str] | None = None) -> None:
    """The command line; mistakes of the user end in one line."""
    with one_line_errors():
        options: PaperOptions = read_options(
            PaperOptions, argv, prog="python -m examples.paper", description=PaperOptions.__doc__
        )
    with one_line_errors(goes_on(fresh=options.fresh)):
        check_options(options)
        names = NAMES if options.what == "all" else (options.what,)
        failures: list[Failure] = []
        if options.rehearse:
            failures = rehearse(names, options)
        elif options.estimate and options.data == PUBLISHED:
            print(modelled_table(names, options).markdown())
        else:
            failures = [failure for name in names for failure in reproduce(name, options)]
    for failure in failures:
        print(f"failed: {failure.name}, see {failure.log}", file=sys.stderr)
    raise SystemExit(1 if failures else 0)
