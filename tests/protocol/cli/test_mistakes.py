"""How commands end."""

from __future__ import annotations

import pytest

from examples.protocol.cli.errors import one_line_errors
from sar_reg.errors import InputError


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("shots must be 1 or more"), 2, "error: shots must be 1 or more\n"),
        (FileNotFoundError("no such file"), 2, "error: no such file\n"),
        (KeyboardInterrupt(), 130, "stopped; the same command goes on from here\n"),
    ],
)
def test_one_line_and_a_status(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        raise error
    assert stopped.value.code == status
    assert capsys.readouterr().err == line


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), one_line_errors():
        _ = 1 / 0
