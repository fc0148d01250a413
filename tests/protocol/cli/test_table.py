"""Tables are made from records alone, and those in the pages are the ones the records give."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.protocol.cli import table
from examples.protocol.cli.table import BEGIN, END, as_markdown, as_text, fill, of_method, rows_of
from examples.protocol.runs.archive import read_records
from sar_reg.errors import InputError
from tests import ROOT

EXAMPLES = ROOT / "examples"


def record(
    dataset: str, title: str, base: float, new: float, split: str = "scene", seed: int = 1, **recipe: float
) -> dict:
    results = {"base": base, "new": new, "h": 2 * base * new / (base + new), "sar_loss": 0.1}
    source = {"dataset": dataset, "split": split, "data": f"/{seed}"}
    about = {"seed": seed, "recipe": {"lam": 0.1, **recipe}, "model": {"name": "testbed"}}
    return {"source": source, "title": title, "results": results, **about}


RECORDS = [
    record("food", "CoOp + SAR", 70.0, 60.0),
    record("food", "CoOp", 72.0, 50.0),
    record("food", "CoOp", 74.0, 54.0, seed=2),
    record("food", "zero-shot", 60.0, 60.0),
    record("animals", "CoOp", 50.0, 50.0, split="style"),
]


def test_rows_are_grouped_and_ordered() -> None:
    rows = rows_of(RECORDS)
    assert [(row.dataset, row.title, row.seeds) for row in rows] == [
        ("animals (style)", "CoOp", 1),
        ("food", "zero-shot", 1),
        ("food", "CoOp", 2),
        ("food", "CoOp + SAR", 1),
    ]
    assert rows[2].cell("base") == "73.0 ± 1.4"
    assert rows[2].cell("h").startswith(f"{2 * 73 * 52 / (73 + 52):.1f} ± ")


def test_what_is_not_an_independent_run_does_not_count_as_one() -> None:
    copied = [*RECORDS, record("food", "CoOp", 72.0, 50.0)]
    with pytest.raises(
        InputError, match="several runs of CoOp on food with seed 1, which would count as indep"
    ):
        rows_of(copied)
    mixed = [*RECORDS, record("food", "CoOp", 72.0, 50.0, seed=3, lr=0.1, lam=0.5)]
    with pytest.raises(
        InputError, match=r"runs of CoOp on food differ in lam, lr, so their mean is not one over"
    ):
        rows_of(mixed)
    other = record("food", "CoOp", 72.0, 50.0, seed=3) | {"model": {"name": "ViT-B-16"}}
    with pytest.raises(InputError, match="differ in model, so"):
        rows_of([*RECORDS, other])


@pytest.mark.parametrize("archive", ["fig4", "fig5", "table1", "table2", "calibrate"])
def test_the_variants_of_a_sweep_are_not_averaged(archive: str) -> None:
    with pytest.raises(InputError, match="put the runs of each setting in a folder of their own"):
        rows_of(read_records(EXAMPLES / "paper" / "results" / f"{archive}.jsonl"))


def test_text_and_markdown() -> None:
    rows = rows_of(RECORDS)[1:]
    assert as_text(rows).splitlines()[2] == "CoOp         73.0 ± 1.4   52.0 ± 2.8   60.7 ± 2.4"
    assert as_markdown(rows).splitlines() == [
        "| data set | | Base | New | H | seeds |",
        "|---|---|---|---|---|---|",
        "| food | zero-shot | 60.0 | 60.0 | 60.0 |  |",
        "|  | CoOp | 73.0 ± 1.4 | 52.0 ± 2.8 | 60.7 ± 2.4 | 2 |",
        "|  | CoOp + SAR | 70.0 | 60.0 | 64.6 | 1 |",
    ]


def test_a_page_keeps_its_text_around_the_table() -> None:
    page = "# A\n<!-- results: begin -->\nold\n<!-- results: end -->\nend\n"
    filled = fill(page, "new")
    assert filled == "# A\n<!-- results: begin -->\nnew\n<!-- results: end -->\nend\n"
    assert fill(filled, "new") == filled


@pytest.mark.parametrize("page", ["text", f"{BEGIN}\ntext", f"{END}{BEGIN}", f"{BEGIN}{END}text{BEGIN}{END}"])
def test_a_page_without_its_markers_is_left_alone(page: str) -> None:
    with pytest.raises(
        InputError, match="must hold the lines <!-- results: begin --> and <!-- results: end --> once"
    ):
        fill(page, "table")


def test_the_pages_show_what_the_records_give() -> None:
    records = read_records(EXAMPLES / "paper" / "results" / "methods.jsonl")
    methods = ("CoOp", "KgCoOp", "TCP", "MaPLe", "CoPrompt")
    pages = [(EXAMPLES / method.lower() / "README.md", method) for method in methods]
    for page, method in pages:
        text = page.read_text(encoding="utf-8")
        assert fill(text, as_markdown(rows_of(of_method(records, method)))) == text, str(page)


def test_a_method_without_runs_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = EXAMPLES / "paper" / "results" / "fig3.jsonl"
    monkeypatch.setattr("sys.argv", ["table", str(archive), "--method", "MaPLe"])
    with pytest.raises(SystemExit) as ended:
        table.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: there are no runs of 'MaPLe'; there are runs of: CoOp\n"
    with pytest.raises(InputError, match=r"there are runs of: CoOp; did you mean CoOp\?"):
        of_method(read_records(archive), "Cop")
    assert of_method(read_records(archive), "coop") == read_records(archive)


def test_a_folder_without_records_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["table", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        table.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: there are no run records in ")
