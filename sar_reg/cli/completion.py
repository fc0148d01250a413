"""`sar-reg completion`: a script that lets bash and zsh complete commands and options."""

from __future__ import annotations

import argparse
import io
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from typing import Any

_SCRIPT = """\
[ -n "$ZSH_VERSION" ] && autoload -U +X bashcompinit && bashcompinit
_sar_reg() {{
  local offered="{commands} --help --version"
  if [ "$COMP_CWORD" -gt 1 ]; then
    case "${{COMP_WORDS[1]}}" in
{cases}
      *) offered="" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$offered" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _sar_reg sar-reg"""


def add_to(commands: Any, main: Callable[[Sequence[str]], int]) -> None:
    """Add the command to the parser; `main` is asked for the help of the other commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "completion",
        help="print a script that completes this command line",
        description='For bash and zsh; add to your shell\'s start-up file: eval "$(sar-reg completion)"',
    )
    names = [name for name in commands.choices if name != "completion"]
    parser.set_defaults(run=lambda _: _print_script(names, main), verbose=False)


def _print_script(names: Sequence[str], main: Callable[[Sequence[str]], int]) -> int:
    cases = "\n".join(f'      {name}) offered="{" ".join(_options(name, main))}" ;;' for name in names)
    print(_SCRIPT.format(commands=" ".join(names), cases=cases))
    return 0


def _options(name: str, main: Callable[[Sequence[str]], int]) -> list[str]:
    shown = io.StringIO()
    with redirect_stdout(shown), suppress(SystemExit):
        main([name, "--help"])
    return sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", shown.getvalue())))
