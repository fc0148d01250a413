from __future__ import annotations

import threading
import time

import pytest

from sar_reg.novel.llm.deadline import within


def test_work_in_time_gives_its_result_or_its_error() -> None:
    assert within(5.0, lambda: 3, late=0) == 3
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 // 0, late=0)


def test_late_work_is_left_alone() -> None:
    ended = threading.Event()
    began = time.monotonic()
    assert within(0.1, lambda: int(ended.wait(20)), late=7) == 7
    assert time.monotonic() - began < 5
    ended.set()
