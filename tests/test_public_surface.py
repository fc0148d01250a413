"""What is public, and who may import what: sar_reg without circles, the examples by public names only."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests import ROOT

STABLE = {
    "sar_reg": {
        "AnchorBank",
        "LearnedPrompt",
        "PromptEncoder",
        "SarRegError",
        "SimilarityAlignmentLoss",
        "__version__",
        "build_anchor_bank",
        "sample_classes",
        "similarity_alignment_loss",
    },
    "sar_reg.bank": {"AnchorBank", "build_anchor_bank", "encode_templates", "resolve_templates"},
    "sar_reg.errors": {"InputError", "MissingExtraError", "SarRegError", "WriteError"},
    "sar_reg.novel": {
        "Cleaned",
        "LLMClasses",
        "NovelClassesError",
        "NovelNames",
        "NovelSource",
        "Oracle",
        "WordList",
        "WordNetClasses",
        "clean_names",
        "read_names",
    },
    "sar_reg.prompting": {"ImagePromptEncoder", "LearnedPrompt", "PromptEncoder", "text_tower"},
}
SUPPORT = {
    "sar_reg.bank": {"GENERAL", "SPECIFIC"},
    "sar_reg.checks": {"existing_device"},
    "sar_reg.class_names": {"fold", "spoken"},
    "sar_reg.cli.doctor": {"Finding", "Verdict", "add_to", "show"},
    "sar_reg.cuda_graph": {"CapturedCall", "check_device"},
    "sar_reg.errors": {"counted", "did_you_mean", "require"},
    "sar_reg.files": {
        "content_key",
        "file_path",
        "refuse_overwriting",
        "set_aside",
        "sha256",
        "write_atomic",
    },
    "sar_reg.novel.llm": {"Conversation", "LLMClasses", "names_in", "open_client"},
    "sar_reg.prompting": {"TextTower"},
    "sar_reg.shapes": {"Bool", "Float", "Int", "Tensor"},
}
"""May change in any release; what the examples need beside the stable names."""
PUBLIC = {module: STABLE.get(module, set()) | SUPPORT.get(module, set()) for module in (*STABLE, *SUPPORT)}
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


LIBRARY = {module_of(path): path for path in (ROOT / "sar_reg").rglob("*.py")}
EXAMPLES = {module_of(path): path for path in (ROOT / "examples").rglob("*.py")}


def names_imported(path: Path, *, lazily: bool) -> Iterator[tuple[str, str | None]]:
    """(module, name) of each import in a file; those inside functions only if `lazily`."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level  # a relative import stays in its own package
            yield from ((package + (node.module or ""), alias.name) for alias in node.names)
        elif lazily or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names(module: str) -> None:
    found = importlib.import_module(module)
    assert set(found.__all__) == PUBLIC[module]
    assert all(hasattr(found, name) for name in found.__all__)


def test_no_import_circles() -> None:
    graph: dict[str, set[str]] = {}
    for module, path in LIBRARY.items():
        pairs = names_imported(path, lazily=False)
        targets = {f"{origin}.{name}" if f"{origin}.{name}" in LIBRARY else origin for origin, name in pairs}
        assert not any(target.startswith(".") for target in targets), f"{module} imports relatively"
        graph[module] = targets & LIBRARY.keys()
    assert graph["sar_reg"] > {"sar_reg.errors"}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
    assert order.index("sar_reg.errors") < order.index("sar_reg.bank.build") < order.index("sar_reg")


def test_the_library_knows_nothing_of_the_examples() -> None:
    for module, path in LIBRARY.items():
        assert not any(origin.startswith("examples") for origin, _ in names_imported(path, lazily=True)), (
            module
        )
        texts = [
            node.value
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Constant)
        ]
        assert not any(re.search(r"\bexamples[./]\w", text) for text in texts if isinstance(text, str)), (
            module
        )


def test_examples_import_public_names_only() -> None:
    private = [
        f"{module}: from {origin} import {name}"
        for module, path in EXAMPLES.items()
        for origin, name in names_imported(path, lazily=True)
        if origin.partition(".")[0] == "sar_reg"
        and not (origin in PUBLIC and (name is None or name in PUBLIC[origin]))
    ]
    assert private == []


def test_the_stable_names_are_documented_and_promised() -> None:
    promised, _, _ = API.partition("## Support for the examples")
    shown = {
        line.removeprefix("::: ").rpartition(".")[2] for line in promised.splitlines() if line[:4] == "::: "
    }
    assert shown == set().union(*STABLE.values()) - {"__version__"}
    assert "`sar_reg.__version__`" in promised


def test_the_names_that_may_change_are_listed_apart() -> None:
    _, title, rest = API.partition("## Support for the examples")
    assert title
    assert "may change in any release" in rest
    rows = dict(re.findall(r"^\| `(sar_reg[\w.]*)` \| ([^|]*) \|", rest, re.MULTILINE))
    listed = {module: set(re.findall(r"`(\w+)`", names)) for module, names in rows.items()}
    assert listed == {module: names - {"LLMClasses"} for module, names in SUPPORT.items()}
    assert not any(STABLE.get(module, set()) & names for module, names in SUPPORT.items())


def test_messages_and_representations_can_be_shown_on_any_terminal() -> None:
    for module, path in LIBRARY.items():
        if module.startswith("sar_reg.novel"):  # patterns that recognise typographic characters in replies
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose]
        assert not [
            node.value for node in texts if isinstance(node.value, str) and not node.value.isascii()
        ], module


def test_numbers_that_can_be_one_are_counted_in_words() -> None:
    never_one = {"words", "class names", "data sets"}  # of a long name, of a loss, and of the paper
    pattern = re.compile(r"\{(?:len\([^{}]*\)|n|count|\w+\.\w+_classes)\} ((?:(?:novel|data|class) )?\w+s)\b")
    for module, path in (LIBRARY | EXAMPLES).items():
        assert set(pattern.findall(path.read_text("utf-8"))) <= never_one, f"{module}: use errors.counted"
