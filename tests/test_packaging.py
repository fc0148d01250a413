"""What the code imports is what its extras install."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {"sar_reg", "examples", "__future__"}


def imported(path: Path, *, top_level: bool) -> Iterator[str]:
    """Top-level packages that a file imports, in its whole text or where it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def foreign(folder: str, *, top_level: bool, leave_out: str = "") -> set[str]:
    paths = [path for path in (ROOT / folder).rglob("*.py") if not leave_out or leave_out not in path.parts]
    names = {name for path in paths for name in imported(path, top_level=top_level)}
    return names - OURS - set(sys.stdlib_module_names)


def installed_by(*extras: str) -> set[str]:
    """Names of distributions that the package and these extras ask for, extras of extras included."""
    requirements, waiting = list(PROJECT["dependencies"]), list(extras)
    while waiting:
        for requirement in PROJECT["optional-dependencies"][waiting.pop()]:
            inner = re.fullmatch(r"sar-reg\[(.+)\]", requirement)
            if inner:
                waiting += inner[1].split(",")
            else:
                requirements.append(requirement)
    return {re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-") for requirement in requirements}


installed = cache(packages_distributions)  # it reads the files of all installed packages


def distributions(module: str) -> set[str]:
    found = installed().get(module, [module])
    return {name.lower().replace("_", "-") for name in found}


@pytest.mark.parametrize(
    ("folder", "extras", "leave_out"),
    [
        ("examples", ("examples",), "rebuild"),
        ("examples/testbed/rebuild", ("rebuild",), ""),
        ("sar_reg", (), ""),
    ],
)
def test_what_is_imported_is_asked_for(folder: str, extras: tuple[str, ...], leave_out: str) -> None:
    asked_for = installed_by(*extras)
    loaded = foreign(folder, top_level=folder == "sar_reg", leave_out=leave_out)
    assert {"torch", "numpy"} <= loaded
    missing = {name for name in loaded if not distributions(name) & asked_for}
    assert missing <= ({"triton"} if folder == "sar_reg" else set()), missing
