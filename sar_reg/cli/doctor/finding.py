"""One answer of the doctor, and how a list of them is printed."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

_COMMAND = re.compile(r"(or: |then: )?(python|pip|hf|wget|curl|unzip|tar|mkdir) ")
Verdict = Literal["ok", "note", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """What was checked, the result, and what to do.

    `note`: optional; `warning`: a run continues with doubtful results; `failure`: a run stops or is wrong.
    """

    subject: str
    verdict: Verdict
    fact: str
    advice: str = ""


def show(findings: Sequence[Finding], *, as_json: bool = False) -> str:
    r"""Lines to read, or JSON for a bug report.

    >>> print(show([Finding("gpu", "note", "none found", "training runs on the CPU")]))
    note    gpu: none found
            -> training runs on the CPU
    0 ok, 1 note, 0 warning, 0 failure
    """
    if as_json:
        return json.dumps([asdict(finding) for finding in findings], indent=1, ensure_ascii=False)
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.verdict:8}{finding.subject}: {finding.fact}")
        lines += [part for line in finding.advice.splitlines() for part in _wrapped(line)]
    counts = Counter(finding.verdict for finding in findings)
    lines.append(", ".join(f"{counts[v]} {v}" for v in ("ok", "note", "warning", "failure")))
    return "\n".join(lines)


def _wrapped(line: str) -> list[str]:
    """Advice at 80 columns; a command stays in one piece, to be copied."""
    mark = "        -> "
    if _COMMAND.match(line):
        return [mark + line]
    wrapper = textwrap.TextWrapper(80, mark, " " * 11, break_long_words=False, break_on_hyphens=False)
    return wrapper.wrap(line)
