"""The table of data sets in the docs says what the catalogue says."""

from __future__ import annotations

import pytest

from examples.protocol.data.catalogue import CatalogueEntry, catalogue
from tests import ROOT

PAGE = (ROOT / "docs" / "data.md").read_text("utf-8")


@pytest.mark.parametrize("source", catalogue().values(), ids=lambda source: source.key)
def test_every_data_set_has_its_row(source: CatalogueEntry) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{source.key}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1].startswith(f"`{source.folders[0]}/")
    assert f"`{source.split}`" in cells[3]
    assert int(cells[4]) == source.classes
    train, val, test = source.counts
    val_shown = "= test" if source.key == "imagenet" else str(val)
    assert cells[5] == f"{train} / {val_shown} / {test}"
    assert cells[6].startswith("images") == bool(source.torchvision)
