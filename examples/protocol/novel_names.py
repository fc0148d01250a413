"""Which novel class names a run uses when none are given."""

from __future__ import annotations

from pathlib import Path

from examples.protocol.cell import Source
from sar_reg.errors import InputError
from sar_reg.novel import NovelSource, WordList

LISTS = Path(__file__).parent / "data" / "novel"


def novel_source(source: Source) -> NovelSource:
    """The user's list, the one made for the data set, or the testbed's words."""
    if source.novel:
        return WordList(source.novel)
    if source.data == "testbed":
        from examples import testbed

        return WordList(testbed.words())
    shipped = LISTS / f"{source.dataset}.json"
    if not shipped.is_file():
        raise InputError(
            f"there is no list of novel classes for {source.dataset}; make one with "
            f"`python -m sar_reg novel` and give it with --novel FILE"
        )
    return WordList(shipped)
