"""What Zensical's strict build does not check: images exist, and so do the files and scripts that pages name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*/README.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_images_and_linked_files_exist(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_every_image_of_the_docs_is_shown_once() -> None:
    shown = [
        name
        for page in PAGES
        for name in re.findall(r"!\[.*?\]\(.*?([^/)]+\.png)\)", page.read_text("utf-8"))
    ]
    committed = {path.name for path in (ROOT / "docs" / "images").iterdir()}
    assert set(shown) == committed


def test_contributing_names_scripts_that_exist() -> None:
    scripts = re.findall(r"bash (\.ci/\w+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert {".ci/run", ".ci/lower_bounds"} <= set(scripts)
    assert all((ROOT / script).exists() for script in scripts)


def test_ci_runs_the_scripts_on_the_lowest_python() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    steps = {step.get("run") for job in jobs.values() for step in job["steps"]}
    assert {"bash .ci/run", "bash .ci/lower_bounds", "python .ci/smoke.py"} <= steps
    lowest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert lowest is not None
    for job in ("everything", "import"):
        assert jobs[job]["strategy"]["matrix"]["python"][0] == lowest[1]


def test_docstrings_hold_no_latex() -> None:
    # the site and help() show it as typed
    found = [
        str(path)
        for path in (ROOT / "sar_reg").rglob("*.py")
        if re.search(r"\$[^$\n]*\\[a-z]+", path.read_text(encoding="utf-8"))
    ]
    assert not found
