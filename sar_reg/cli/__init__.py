"""The command line: `python -m sar_reg novel | bank | report | doctor`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from sar_reg.cli import bank, completion, doctor, novel, report
from sar_reg.cli.arguments import Parser
from sar_reg.errors import InputError, SarRegError
from sar_reg.version import __version__

_EXAMPLES = """examples:
  python -m sar_reg novel --base "tabby cat,beagle" --n 20
  python -m sar_reg novel --base classes.txt --source llm -o novel.json
  python -m sar_reg bank --base classes.txt --words novel.json -o b.safetensors
  python -m sar_reg report b.safetensors --held-out new_classes.txt
  python -m sar_reg doctor

exit codes: 0 done, 1 not possible, 2 wrong arguments or files, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those after `python -m sar_reg`; the process's own by default.

    Returns:
        The exit code: 0 done, 1 could not be done, 2 wrong arguments or files, 130 interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = argparse.Namespace(kept="nothing was written")
    try:
        if given[:1] == ["doctor"]:
            code = doctor.main(given[1:])
        else:
            _parser().parse_args(given, options)
            _set_up_logging(options.verbose)
            code = options.run(options)
        sys.stdout.flush()
    except (InputError, FileNotFoundError) as error:
        return _failed(error, 2)
    except (SarRegError, OSError) as error:
        return _failed(error, 1)
    except KeyboardInterrupt:
        print(f"\ninterrupted; {options.kept}", file=sys.stderr)
        return 130
    return code


def _set_up_logging(verbose: bool) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(format="%(levelname)s: %(message)s", level=level)
    for library in ("httpx", "httpx2", "openai"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _failed(error: Exception, code: int) -> int:
    if isinstance(error, BrokenPipeError):  # the reader, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code
    print(f"error: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m sar_reg",
        description="Words and anchor banks for Similarity Alignment Regularization:\n"
        "`novel` makes a list of class names, `bank` encodes it, training code reads it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sar_reg {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (novel, bank, report):
        command.add_to(commands)
    commands.add_parser("doctor", help="say what works on this machine and what to do about the rest")
    completion.add_to(commands, main)
    return parser
