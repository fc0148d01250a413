"""A sweep: the runs behind one table or figure, listed from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from examples.coop.method import CoOp
from examples.coprompt.method import CoPrompt
from examples.kgcoop.method import KgCoOp
from examples.maple.method import MaPLe
from examples.protocol.data import TABLE_3
from examples.protocol.method import PromptMethod
from examples.protocol.recipe import Recipe, Value, load_recipe
from examples.protocol.runs.config import RunConfig, RunSource, check_distinct
from examples.protocol.runs.novel_names import llm_list
from examples.tcp.method import TCP
from sar_reg.errors import InputError

METHODS: Mapping[str, type[PromptMethod]] = {m.__name__: m for m in (CoOp, KgCoOp, TCP, MaPLe, CoPrompt)}
FOLDER = Path(__file__).parent / "sweeps"
NAMES = (
    "table1",
    "table2",
    "table3",
    "table4",
    "table5",
    "fig1",
    "fig3",
    "fig4",
    "fig5",
    "calibrate",
    "joint",
)


@dataclass(frozen=True)
class Sweep:
    """The content of a sweep's file; the defaults are the paper's.

    Attributes:
        name: the table or figure.
        methods: names of methods.
        variants: name → changes to recipe and source, and `sar`.
        protocol: table of each method's recipe.toml that holds the settings on the paper's data.
        datasets: keys of the paper's data sets; empty: all eleven.
        testbed_datasets: keys of the testbed's; empty: all of them.
        seeds: one run each.
        targets: shifted domains to test on; empty: base and new classes.
        testbed_targets: the same on the testbed.
        testbed: changes to every recipe on the testbed.
        isolated: whether each run needs a process of its own.

    A variant with `only = "testbed"` or `only = "real"` belongs to the runs on that data alone.
    """

    name: str
    methods: tuple[str, ...]
    variants: Mapping[str, Mapping[str, Value]]
    protocol: str = "paper"
    datasets: tuple[str, ...] = TABLE_3
    testbed_datasets: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (1, 2, 3)
    targets: tuple[str, ...] = ()
    testbed_targets: tuple[str, ...] = ()
    testbed: Mapping[str, Value] = field(default_factory=dict)
    isolated: bool = False

    def __post_init__(self) -> None:
        for name in ("methods", "datasets", "testbed_datasets", "seeds", "targets", "testbed_targets"):
            check_distinct(f"{self.name}.toml: {name}", getattr(self, name))

    def on(self, data: str) -> Sweep:
        """The sweep without variants for other data or for word lists that do not exist."""
        kept = ("testbed" if data == "testbed" else "real", None)
        asked = any(llm_list("*").parent.glob(llm_list("*").name))
        variants = {
            name: settings
            for name, settings in self.variants.items()
            if settings.get("only") in kept and (asked or settings.get("novel") != "llm")
        }
        return replace(self, variants=variants)


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep, and the variant it belongs to."""

    variant: str
    config: RunConfig

    @property
    def name(self) -> str:
        """Its name in logs and progress."""
        return (
            f"{self.config.source.dataset}-{self.config.method.lower()}-{self.variant}-seed{self.config.seed}"
        )


def load_sweep(name: str) -> Sweep:
    """Read `sweeps/NAME.toml`.

    Raises:
        InputError: for an unknown name.
    """
    if name not in NAMES:
        raise InputError(f"there is no table or figure {name!r}; there are: {', '.join(NAMES)}")
    table = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    lists = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
    settings: dict[str, Any] = {"name": name, **table, **lists}
    return Sweep(**settings)


def plan(
    sweep: Sweep,
    data: str,
    *,
    datasets: Sequence[str] = (),
    origin: Mapping[str, str] = MappingProxyType({}),
    descriptions: str = "",
    **changes: Value,
) -> list[PlannedRun]:
    """List the runs of a sweep.

    Args:
        sweep: the sweep.
        data: `"testbed"`, or the folder with the paper's data sets.
        datasets: only these, instead of the sweep's.
        origin: `model`, `pretrained` and `novel` of every run's source, if they differ from the defaults. Runs
            with a language model's words are left out if the data set has no such list.
        descriptions: folder with CoPrompt's sentences.
        changes: settings of the recipe to change in every run, such as `epochs=1`.
    """
    testbed = data == "testbed"
    keys = tuple(datasets) or _datasets(sweep, testbed)
    planned = []
    for key in keys:
        targets = sweep.testbed_targets if testbed else sweep.targets
        for method in sweep.methods:
            recipe = recipe_of(method, "testbed" if testbed else sweep.protocol, key)
            recipe = replace(recipe, **{**(sweep.testbed if testbed else {}), **changes})
            if method == "CoPrompt" and descriptions:
                recipe = replace(recipe, descriptions=descriptions)
            for variant, settings in sweep.on(data).variants.items():
                source = replace(RunSource(key, data, targets=targets), **origin)
                run, source = _apply(settings, recipe, source)
                sar = bool(settings["sar"])
                if settings.get("novel") == "llm" and not llm_list(key).is_file():
                    continue
                planned += [
                    PlannedRun(variant, RunConfig(method, source, run, seed, sar)) for seed in sweep.seeds
                ]
    return planned


def recipe_of(method: str, protocol: str, dataset: str) -> Recipe:
    """The recipe of a method by name."""
    return load_recipe(Path(__file__).parent.parent / method.lower() / "recipe.toml", protocol, dataset)


def _datasets(sweep: Sweep, testbed: bool) -> tuple[str, ...]:
    if not testbed:
        return sweep.datasets
    from examples import testbed as shipped

    return sweep.testbed_datasets or tuple(shipped.DATASETS)


def _apply(settings: Mapping[str, Value], recipe: Recipe, source: RunSource) -> tuple[Recipe, RunSource]:
    of_recipe = {f.name for f in fields(Recipe)}
    for name, value in settings.items():
        if name in of_recipe:
            recipe = replace(recipe, **{name: value})
        elif name == "scale_lam":
            recipe = replace(recipe, lam=recipe.lam * float(value))
        elif name not in ("sar", "only"):
            source = replace(source, **{name: value})
    return recipe, source
