"""The command line: comparison, resumed starts, help, and one line for a mistake."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from PIL import Image

from examples.coop.method import CoOp
from examples.maple.method import MaPLe
from examples.protocol.cli import command as command_module
from examples.protocol.cli import errors
from examples.protocol.cli.command import main
from examples.protocol.cli.errors import one_line_errors
from examples.protocol.recipe import Recipe
from examples.protocol.runs import duration, experiment, handcrafted
from examples.protocol.runs import run as run_module
from examples.protocol.runs.novel_names import novel_source
from sar_reg.errors import InputError
from sar_reg.novel import WordNetClasses
from tests.fabricated.runs import RECIPE

QUICK = ("--dataset", "squares", "--epochs", "2", "--shots", "3", "--n-novel", "5", "--sample-size", "3")


@pytest.fixture
def coop_with_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """`coop_with_picture("--flag", …)` runs the command in a folder of its own; gives what it printed."""
    monkeypatch.setattr(duration, "REPEATS", 1)

    def command(*arguments: str) -> tuple[str, str]:
        quick = QUICK[:6] if "--no-sar" in arguments else QUICK
        main(CoOp, RECIPE, [*quick, "--out", str(tmp_path / "runs"), *arguments])
        printed = capsys.readouterr()
        return printed.out, printed.err

    return command


@pytest.fixture
def coop(coop_with_picture, monkeypatch: pytest.MonkeyPatch):
    """The same without the drawing, which is a third of the time."""
    monkeypatch.setattr(command_module, "draw_comparison", lambda path, *_, **__: path)
    return coop_with_picture


def test_the_comparison(coop_with_picture, tmp_path: Path) -> None:
    printed, progress = coop_with_picture()
    epochs = [line for line in progress.splitlines() if "epoch" in line]
    assert len(epochs) == 2 * 3 * 2, "not a terminal: a line per epoch, in 3 runs without SAR and 3 with it"
    assert re.fullmatch(r"CoOp, seed 1: epoch 1, ce \d\.\d{3} \(1 of 12 in all\)", epochs[0])
    assert re.fullmatch(r"CoOp \+ SAR, seed 3: epoch 2, ce \S+, sar \S+ \(12 of 12 in all\)", epochs[-1])
    assert "squares: 4 base classes, 3 new classes; 3 shots, 2 epochs" in printed
    lines = printed.splitlines()
    assert all(len(line) <= 80 for line in lines if str(tmp_path) not in line)
    assert re.search(r"Base +New +H", printed)
    assert re.search(
        r"^base and new classes in one list \(generalized zero-shot\):\n +base images +new images +H\nzero-shot",
        printed,
        re.MULTILINE,
    )
    assert "; each of 9 classes is compared with 3 others drawn in each step\n" in printed
    assert "\nnovel classes: 5\n" in printed
    for title in ("CoOp", r"CoOp \+ SAR"):
        assert re.search(
            rf"^{title} +\d+\.\d ± \d+\.\d +\d+\.\d ± \d+\.\d +\d+\.\d ± \d+\.\d$", printed, re.MULTILINE
        )
    assert len(list((tmp_path / "runs").glob("*.json"))) == 7
    with Image.open(tmp_path / "runs" / "squares-coop.png") as picture:
        assert picture.width > 1000


def test_joint_accuracies_are_those_of_the_records(coop) -> None:
    records = json.loads(coop("--json", "--seeds", "1")[0])["records"]
    _, _, joint = coop("--seeds", "1")[0].partition("zero-shot):\n")
    for record, kind in zip(records, ("handcrafted", "learned", "learned"), strict=True):
        cells = " +".join(f"{record['joint'][kind][name]:.1f}" for name in ("base", "new", "h"))
        assert re.search(rf"^{re.escape(record['title'])} +{cells}$", joint, re.MULTILINE)


def test_more_samples_than_classes_are_said_in_words(coop) -> None:
    printed, _ = coop("--seeds", "1", "--sample-size", "64")
    said = "each of 9 classes is compared with all 8 others\n(fewer than the --sample-size of 64)\n"
    assert said in printed
    printed, _ = coop("--seeds", "1", "--sample-size", "0")
    assert "each of 9 classes is compared with all 8 others\nnovel classes: 5\n" in printed


def test_the_handcrafted_prompts_have_no_spread_over_seeds(coop_with_picture) -> None:
    printed, _ = coop_with_picture("--no-sar", "--seeds", "1", "2")
    assert re.search(r"^zero-shot +\d+\.\d +\d+\.\d +\d+\.\d$", printed, re.MULTILINE)
    assert "SAR" not in printed


def test_a_run_without_sar_needs_no_novel_names(coop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "novel_source", None)  # would fail if called
    records = json.loads(coop("--no-sar", "--seeds", "1", "--json")[0])["records"]
    assert set(records[1]["results"]) == {"base", "new", "h"}


def test_a_second_start_repeats_nothing(coop, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = coop("--seeds", "1", "2")
    monkeypatch.setattr(run_module, "train", None)  # would fail if called
    monkeypatch.setattr(handcrafted, "zero_shot", None)
    second, _ = coop("--seeds", "1", "2")
    assert first == second


def test_fresh_repeats(coop, monkeypatch: pytest.MonkeyPatch) -> None:
    coop("--no-sar", "--seeds", "1")
    monkeypatch.setattr(run_module, "train", None)
    with pytest.raises(TypeError, match="not callable"):
        coop("--no-sar", "--seeds", "1", "--fresh")
    monkeypatch.setattr(handcrafted, "zero_shot", lambda experiment: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # the line above the methods is measured again too
        coop("--no-sar", "--seeds", "1", "--fresh")


def test_fresh_runs_need_no_earlier_ones(coop) -> None:
    assert coop("--no-sar", "--seeds", "1", "--fresh")[0] == coop("--no-sar", "--seeds", "1")[0]


def test_json_holds_means_and_records(coop_with_picture) -> None:
    printed, _ = coop_with_picture("--json", "--seeds", "2")
    content = json.loads(printed)
    assert Path(content["picture"]).is_file()
    assert [row["title"] for row in content["rows"]] == ["zero-shot", "CoOp", "CoOp + SAR"]
    assert content["rows"][1]["base_std"] is None
    assert [record["seed"] for record in content["records"][1:]] == [2, 2]
    assert content["records"][2]["recipe"]["sample_size"] == 3


def test_curves_are_kept_for_tensorboard_on_request(coop, tmp_path: Path) -> None:
    coop("--tensorboard", "--no-sar", "--seeds", "1")
    (log,) = (tmp_path / "runs").glob("squares-coop-seed1-*.log.jsonl")
    assert len(log.read_text().splitlines()) == 2
    (events,) = (tmp_path / "runs" / "tensorboard").glob("*/events.out.tfevents.*")
    assert events.parent.name == log.name.removesuffix(".log.jsonl")
    assert (
        "--tensorboard shows no curves of finished runs"
        in coop("--tensorboard", "--no-sar", "--seeds", "1")[1]
    )


def test_a_users_own_novel_names(coop, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("walrus\ngolden ring\nviolin\nkettle\nGolden_Ring\nladder\nsaddle\n")
    content = json.loads(coop("--json", "--seeds", "1", "--novel", str(words))[0])
    bank = content["records"][2]["bank"]
    assert bank["novel"] == ["walrus", "violin", "kettle", "ladder", "saddle"]
    assert bank["overlap_with_held_out"] == []
    printed, _ = coop("--seeds", "1", "--novel", str(words))
    assert "new classes among the novel names: 0; left out of them: 2" in printed
    assert "novel classes: 5; words.txt holds 7 names\n" in printed


def test_a_file_of_novel_names_is_taken_as_far_as_it_goes(
    coop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "novel_source", novel_source)
    words = tmp_path / "words.txt"
    words.write_text("walrus\nviolin\n")
    content = json.loads(coop("--json", "--seeds", "1", "--n-novel", "200", "--novel", str(words))[0])
    assert content["records"][2]["bank"]["novel"] == ["walrus", "violin"]
    printed, _ = coop("--seeds", "1", "--n-novel", "200", "--novel", str(words))
    assert "novel classes: 2, all that were found; --n-novel asked for 200\n" in printed
    words.write_text("golden ring\n")
    with pytest.raises(SystemExit):
        coop("--seeds", "1", "--n-novel", "200", "--novel", str(words))


def test_a_warning_of_wordnet_fits_every_command(caplog: pytest.LogCaptureFixture) -> None:
    """It names neither an argument nor an option, since a method's command has not those of `sar_reg novel`."""
    assert len(WordNetClasses("related").generate(("zorp", "quux", "blargh", "frobnitz"), 5)) == 5
    assert re.match(r"WordNet knows 0 of 4 classes: .* or ask for fewer$", caplog.messages[-1])
    assert not re.search(r"\w=|--\w", caplog.messages[-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--novel", "nowhere.txt"],
            "--novel takes related, random, list, llm, oracle or a file of names, and there is no file nowhere.txt\n",
        ),
        (["--out", __file__], "error: --out must be a folder, and "),
        (["--out", f"{__file__}/runs"], "test_command.py is a file"),
        (["--novel", "oracel"], "there is no file oracel; did you mean oracle?"),
        *(
            (
                ["--no-sar", option, value],
                f"error: {option} has no effect with --no-sar, which trains without the SAR",
            )
            for option, value in (
                ("--lam", "2"),
                ("--sample-size", "9"),
                ("--n-novel", "7"),
                ("--novel", "/nope.txt"),
                ("--sampling", "independent"),
                ("--direction", "learned||target"),
                ("--reduction", "sum"),
            )
        ),
        (
            ["--adam-eps", "0.1"],
            "error: --adam-eps has no effect with --optimizer sgd; leave one of them out",
        ),
        (
            ["--targets", "style", "--base-classes", "b.txt"],
            "error: --base-classes has no effect with --targets, which trains on all classes",
        ),
        (
            ["--data", "/nowhere", "--split", "style"],
            "error: --split has no effect with --data FOLDER, since it is",
        ),
        (["--no-sar", "--lam=0.5"], "error: --lam has no effect with --no-sar"),
        (["--no-sar", "--sample_size", "9"], "error: --sample-size has no effect with --no-sar"),
        (["--data", "/nowhere", "--final", "--seeds", "4", "5"], "error: --final trains once: pass one seed"),
        (["--data", "/nowhere", "--final", "--seeds", "1", "2", "3"], "error: --final trains once: pass one"),
        (["--lr", "abc"], "error: --lr: could not convert string to float: 'abc'"),
        (["--seeds", "a"], "error: --seeds: "),
        (
            ["--data", "/nowhere", "--model", "testbed", "--pretrained", "openia"],
            "error: --model testbed has weights of its own, so --pretrained openia has no effect",
        ),
        (["--n-novel", "500"], "error: asked for 500 novel classes, but the word list"),
        (["--n-novel", "500"], "; pass --n-novel 10, or other names with --novel FILE"),
        (["--protocol", "nature"], "recipe.toml has no protocol 'nature'; it has: paper"),
        (["--protocol", "papr"], "; did you mean paper?"),
        (
            ["--device", "cpu", "--cuda-graph"],
            "error: --cuda-graph needs a CUDA device, and the model is on cpu",
        ),
        (
            ["--device", "tpu"],
            'error: device must be one that PyTorch has here, such as "cpu" or "cuda:0", '
            "not 'tpu' (Expected one of cpu",
        ),
        (
            ["--depth", "5"],
            "error: --depth does not apply to CoOp; its options are --n-ctx, --ctx-init, --class-position",
        ),
        (["--seeds"], "error: --seeds takes one whole number or more"),
        (
            ["--seeds", "-1"],
            "error: --seeds takes whole numbers in 0..4294967295, such as --seeds 1 2 3, not -1",
        ),
        (["--seeds", "5000000000"], "error: --seeds takes whole numbers in 0..4294967295"),
        (
            ["--seeds", "1", "2", "1"],
            "error: --seeds names 1 more than once; pass each value once, since a repeat",
        ),
        (
            ["--targets", "scene"],
            "--targets scene is what is tested on anyway as the source; name other targets",
        ),
        (["--targets", "style", "style"], "--targets names style more than once"),
        (["--workers", "-1"], "error: --workers must be 0 or more, not -1"),
        (["--workers", "1000000000000"], "error: --workers must be at most 1024, not 1000000000000"),
        (["--out", __file__], f"error: --out must be a folder, and {__file__} is a file"),
        (["--save-every", "-1"], "error: --save-every must be 0 or more, not -1"),
        (["--data", "/nowhere", "--dataset", ""], "error: pass --dataset as well, such as --data /nowhere"),
    ],
)
def test_mistakes_end_in_one_line(
    coop, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        coop(*arguments)
    printed = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in printed
    assert printed.count("\n") == 1


def test_kept_views_are_refused_where_the_image_side_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = RECIPE.parents[1] / "maple" / "recipe.toml"
    with pytest.raises(SystemExit) as ended:
        main(MaPLe, recipe, ["--data", "/nowhere", "--dataset", "birds", "--views", "4"])
    assert ended.value.code == 2
    assert "error: MaPLe trains the image side, so" in capsys.readouterr().err


def test_the_first_line_on_a_cpu_says_how_long_it_will_take(coop) -> None:
    _, progress = coop("--seeds", "1")
    assert re.fullmatch(r"time: about \d+ s on the CPU, from a short measurement", progress.splitlines()[0])
    assert coop("--seeds", "1")[1] == "", "nothing is left to do"


def test_kept_views_lie_in_the_folder_of_the_runs(coop, tmp_path: Path) -> None:
    printed, _ = coop("--seeds", "1", "--json", "--views", "1", "--augmentation", "crop-flip")
    assert json.loads(printed)["records"][1]["recipe"]["views"] == 1
    assert (
        len(list((tmp_path / "runs" / "features").iterdir())) == 1 + 2
    )  # one view of each image, two test sets


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "epochs must be 1 or more, not 0"),
        (["--optimizer", "adam", "--adam-eps", "-1"], "adam_eps must be above 0, not -1.0"),
        (["--lr", "inf"], "lr must be a finite number, not inf"),
        (["--lam", "nan"], "lam must be a finite number, not nan"),
        (["--shotz", "3"], "Unrecognized options: --shotz, 3; did you mean --shots INT?"),
        (["--lam", "-1"], "lam must be 0 or more, not -1.0"),
        (["--lr", "abc"], "--lr: could not convert string to float: 'abc'"),
        (
            ["--split", "x" * 200],
            "invalid choice '" + "x" * 200 + "' for argument '--split'. Expected one of (",
        ),
        (["--final"], "--final trains on all classes of your own photos: pass --data FOLDER"),
        (["--data"], "Missing value for argument '--data'"),
        (
            ["--views", "2", "--augmentation", "none"],
            "augmentation none has none (it encodes every image once); leave out --views, or pass",
        ),
    ],
)
def test_wrong_options_are_named(
    coop, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        coop(*arguments)
    assert ended.value.code == 2
    assert re.fullmatch(rf"error: .*{re.escape(message)}.*\n", capsys.readouterr().err)


def test_a_framed_message_is_the_same_sentence_without_its_frame() -> None:
    framed = """
╭─ Parsing error ──────────────────────╮
│ Unrecognized options: --shotz        │
│ ──────────────────────────────────── │
│ Perhaps you meant:                   │
│     --shots INT                      │
│         Training images a class.     │
╰──────────────────────────────────────╯
"""
    bare = re.sub(r"[│╭╮╰╯]", " ", framed).replace("─ Parsing error ─", "Parsing error\n ─").replace("─", "-")
    for frame in (framed, bare):
        assert errors.sentence_in(frame) == "Unrecognized options: --shotz; did you mean --shots INT?"


def test_every_setting_of_a_recipe_is_checked() -> None:
    wrong: dict[type, tuple[object, ...]] = {
        int: (-1, 10**10, 1.5, True, "3", None),
        float: (-1.0, 1e300, 10**400, math.inf, -math.inf, math.nan, True, "0.1", None),
        bool: (1, "yes", None),
        str: (3, None),
    }
    for name, kind in get_type_hints(Recipe).items():
        for value in ("foo", None, 1) if get_args(kind) else wrong[kind]:
            with pytest.raises(InputError, match=rf"^{name} must be .*, not "):
                replace(Recipe(), **{name: value})
    assert replace(Recipe(), lr=0, lam=1, weight_decay=0.0, sample_size=0, class_block=0).lam == 1


def test_help_says_what_each_option_does_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(CoOp, RECIPE, ["--data", "testbed", "--help"])
    printed = " ".join(re.sub("[│╭╰─╮╯]", " ", capsys.readouterr().out).split())
    assert ended.value.code == 0
    assert "python -m examples.coop" in printed
    assert "Weight λ of the SAR loss. (default: " in printed
    assert "--sar, --no-sar Train with SAR too" in printed
    assert "Repeat runs that are already finished, and the zero-shot accuracy; " in printed


ALL_COMMANDS = """
import contextlib, io, json, runpy, sys
ends = []
for package in sys.argv[1:]:
    sys.modules[package] = None
    for module in ("examples.coop", "examples.coprompt", "examples.paper"):
        with contextlib.redirect_stderr(io.StringIO()) as error:
            try:
                runpy.run_module(module, run_name="__main__")
                status = 0
            except SystemExit as ended:
                status = ended.code
        ends.append((package, status, error.getvalue()))
    for name in [name for name in sys.modules if name.split(".")[0] in (package, "examples")]:
        del sys.modules[name]
print(json.dumps(ends))
"""


def test_without_the_examples_packages_one_line_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALL_COMMANDS, "PIL", "tyro"], capture_output=True, text=True, check=True
    )
    ends = json.loads(done.stdout)
    assert len(ends) == 6
    for package, status, error in ends:
        assert status == 2
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert package in error
        assert "[examples]" in error


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("shots must be 1 or more"), 2, "error: shots must be 1 or more\n"),
        (FileNotFoundError("no such file"), 2, "error: no such file\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_one_line_and_a_status(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        raise error
    assert stopped.value.code == status
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "stopped; the same command goes on from here\n"),
        (
            ["--fresh"],
            "stopped; without --fresh it goes on from here and keeps the earlier runs that were not",
        ),
    ],
)
def test_a_stopped_comparison_says_how_it_goes_on(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_module, "compare", stop)
    with pytest.raises(SystemExit) as stopped:
        main(CoOp, RECIPE, [*QUICK, *arguments])
    assert stopped.value.code == 130
    assert said in capsys.readouterr().err


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), one_line_errors():
        _ = 1 / 0
