"""The committed tables are what the committed run records say."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.paper import __main__ as command

RENDERED = Path(command.__file__).parent / "rendered"
COMMANDS = {
    "table1": ("--datasets", "activities", "animals", "food"),
    "table3": (),
    "fig5": ("--methods", "CoOp", "--datasets", "activities", "animals", "food", "smileys"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_committed_tables_are_rendered_from_the_records(name: str, tmp_path: Path) -> None:
    arguments = (name, *COMMANDS[name], "--no-run", "--out", str(tmp_path), "--render", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 0
    for ending in (".md", ".csv"):
        made, committed = ((folder / f"{name}{ending}").read_text() for folder in (tmp_path, RENDERED))
        assert made == committed
        assert "not run" not in committed
