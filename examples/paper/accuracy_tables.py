"""Tables 1, 3 and 4, and the tables beside figures 3 to 5: Base, New and H."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from examples.paper import published
from examples.paper.results import Accuracies, Runs
from examples.paper.sweep import Sweep
from examples.paper.table import NOT_RUN, Column, Numbers, Table, number, paired_text, with_spread

METRICS = ("base", "new", "h")
VARIANTS: Mapping[str, str] = {
    "baseline": "{}",
    "sar": "{} + SAR",
    "sar_novel50": "{} + SAR, 50 novel",
    "sar_single_template_all_classes": "{} + SAR, one prompt, all classes",
    "sar_prompt_ensembling": "{} + SAR, 8 prompts, all classes",
}


@dataclass(frozen=True)
class Row:
    """One method and variant on one data set, or on average: our numbers, the paper's and the method's own paper's.

    Attributes:
        dataset: key, or `"average"`.
        method: name of the method.
        variant: name of the variant.
        label: what a reader sees for both.
        ours: metric → mean over seeds, None where a run is missing.
        spread: metric → standard deviation over seeds.
        theirs: metric → the paper's number; empty if it has none, or none that compares.
        official: metric → the number of the method's own paper.
        paired: mean and standard deviation of New minus New of the first variant, seed by seed.
        first: whether this is the first variant.
        held_out: held-out names among the novel ones and left out; None without novel names.
        has_novel: whether the variant has novel names.
    """

    dataset: str
    method: str
    variant: str
    label: str
    ours: Mapping[str, float | None]
    spread: Mapping[str, float | None]
    theirs: Mapping[str, float]
    official: Mapping[str, float]
    paired: tuple[float, float] | None
    first: bool
    held_out: tuple[int, int] | None
    has_novel: bool

    def numbers(self) -> list[Numbers]:
        """One entry per metric."""
        return [
            {
                "dataset": self.dataset,
                "method": self.method,
                "variant": self.variant,
                "metric": metric,
                "published": self.official.get(metric),
                "paper": self.theirs.get(metric),
                "ours": value,
                "ours_std": self.spread.get(metric),
                "difference": None
                if value is None or metric not in self.theirs
                else value - self.theirs[metric],
            }
            for metric, value in self.ours.items()
        ]


def _shown(values: Mapping[str, float]) -> str:
    return " / ".join(f"{values[metric]:.2f}" for metric in METRICS) if values else "–"


def _difference(row: Row) -> str:
    pairs = [(row.ours[metric], row.theirs.get(metric)) for metric in METRICS]
    texts = [number(a - b, sign=True) for a, b in pairs if a is not None and b is not None]
    return " / ".join(texts) if len(texts) == len(METRICS) else "–"


def _held_out(row: Row) -> str:
    if row.held_out is None:
        return NOT_RUN if row.has_novel else ""
    return f"{row.held_out[0]} ({row.held_out[1]})"


NAMES = (Column[Row]("data set", lambda row: row.dataset), Column[Row]("method", lambda row: row.label))
PUBLISHED = (
    Column[Row]("published B / N / H", lambda row: _shown(row.official)),
    Column[Row]("paper's run B / N / H", lambda row: _shown(row.theirs)),
)
OURS = (
    Column[Row]("Base", lambda row: with_spread(row.ours["base"], row.spread["base"])),
    Column[Row]("New", lambda row: with_spread(row.ours["new"], row.spread["new"])),
    Column[Row]("H", lambda row: with_spread(row.ours["h"], None)),
)
COMPARED = Column[Row]("ours − paper's run", _difference)
PAIRED = Column[Row]("New − first row, per seed", lambda row: "" if row.first else paired_text(row.paired))
SAR_LOSS = Column[Row](
    "SAR loss",
    lambda row: number(row.ours["sar_loss"], 3),
    "SAR loss: over all base and novel classes, after training.",
)
HELD_OUT = Column[Row](
    "held-out names used (left out)",
    _held_out,
    "Held-out names: classes of the test that are among the novel names, in all data sets of the row, and in brackets "
    "those that the source had and that were left out for it; the WordNet lists of the repository were made without "
    "them.",
)


@dataclass(frozen=True)
class Layout:
    """What is particular to one table.

    Attributes:
        title: its title.
        printed: the paper's table that prints these runs.
        printed_as: our name of a variant → the paper's name in that table; empty if they are the same.
        averages: on the paper's data show the averages only, as the paper does.
        variant: how to call a variant that is not in `VARIANTS`.
        more: columns after the usual ones.
    """

    title: str
    printed: str
    printed_as: Mapping[str, str] = field(default_factory=dict)
    averages: bool = False
    variant: str = "{}"
    more: tuple[Column[Row], ...] = ()


LAYOUTS: Mapping[str, Layout] = {
    "table1": Layout("Table 1: what each part of SAR adds", "1", averages=True),
    "table3": Layout("Table 3: base-to-new generalisation", "3"),
    "table4": Layout("Table 4: base-to-new generalisation, 4 shots", "4", averages=True),
    "fig3": Layout("Figure 3: number of novel classes", "3", {"baseline": "baseline", "sar": "sar"}),
    "fig4": Layout(
        "Figure 4: weight λ, 4 shots",
        "4",
        {"0": "baseline", "1.0": "sar"},
        variant="λ = {}",
        more=(SAR_LOSS,),
    ),
    "fig5": Layout("Figure 5: sources of novel names", "3", {"none": "baseline"}, more=(HELD_OUT,)),
    "calibrate": Layout("Calibration: direction, reduction and sampling", "3", {"baseline": "baseline"}),
}


def accuracy_table(sweep: Sweep, runs: Runs, *, real: bool) -> Table:
    """Base, New and H of every data set, method and variant.

    Args:
        sweep: which table.
        runs: what has been run.
        real: whether these are the paper's data sets, so that its numbers stand beside.
    """
    layout, accuracies = LAYOUTS[sweep.name], Accuracies(runs)
    if len(accuracies.datasets) == 1:
        datasets = accuracies.datasets
    else:
        datasets = ("average",) if layout.averages and real else ("average", *accuracies.datasets)
    # the paper's average is over its own data sets, not over some of them
    partial = real and "average" in datasets and set(accuracies.datasets) != set(sweep.datasets)
    rows = [
        _row(
            sweep,
            accuracies,
            (dataset, method, variant),
            known=real and not (partial and dataset == "average"),
        )
        for dataset in datasets
        for method in sweep.methods
        for variant in sweep.variants
    ]
    columns = (*NAMES, *OURS, PAIRED, *layout.more)
    if real:
        columns = (*NAMES, *PUBLISHED, *OURS, COMPARED, PAIRED, *layout.more)
    notes = [
        "Percent correct, mean ± standard deviation over seeds; H is the harmonic mean of mean Base and mean New. "
        "The last column pairs runs of the same seed."
    ]
    table = Table.of(sweep.name, layout.title, columns, rows, Row.numbers, notes)
    return (
        replace(table, notes=[*table.notes, *_remarks(sweep, runs, accuracies, partial=partial)])
        if real
        else table
    )


def _remarks(sweep: Sweep, runs: Runs, accuracies: Accuracies, *, partial: bool) -> list[str]:
    """What limits the comparison with the paper."""
    remarks = []
    if partial:
        remarks.append(
            f"The average is over {len(accuracies.datasets)} of the paper's {len(sweep.datasets)} data sets, so it "
            "is not compared with the paper's."
        )
    records = (record for by_seed in runs.values() for record in by_seed.values())
    if any(record["method"] == "CoPrompt" and not record["recipe"]["descriptions"] for record in records):
        remarks.append(
            "CoPrompt ran without its descriptions: handcrafted prompts stand in for them, so its rows are not the "
            "paper's method. Give --descriptions FOLDER."
        )
    return [*remarks, "*not run*: no run record is present; no number is made up for it."]


def _row(sweep: Sweep, accuracies: Accuracies, group: tuple[str, str, str], *, known: bool) -> Row:
    """The row of a data set, method and variant; with the paper's numbers where they are `known` to compare."""
    _, method, variant = group
    layout, first = LAYOUTS[sweep.name], next(iter(sweep.variants))
    ours = {metric: accuracies.mean(*group, metric) for metric in METRICS}
    held_out = accuracies.held_out(*group) if HELD_OUT in layout.more else None
    if SAR_LOSS in layout.more:
        ours["sar_loss"] = accuracies.sar_loss(*group)
    if HELD_OUT in layout.more:
        ours["held_out_names"], ours["held_out_names_left_out"] = held_out or (None, None)
    return Row(
        *group,
        label=variant_label(sweep, method, variant),
        ours=ours,
        spread={metric: accuracies.spread(*group, metric) for metric in METRICS},
        theirs=_paper(layout, group) if known else {},
        official=_official(sweep, group) if known else {},
        paired=accuracies.paired(*group, "new", first),
        first=variant == first,
        held_out=held_out,
        has_novel=bool(sweep.variants[variant]["sar"]),
    )


def variant_label(sweep: Sweep, method: str, variant: str) -> str:
    """What a reader sees for a variant of a method."""
    if variant in VARIANTS:
        return VARIANTS[variant].format(method)
    return f"{method}, {LAYOUTS[sweep.name].variant.format(variant.replace('_', ' '))}"


def _paper(layout: Layout, group: tuple[str, str, str]) -> dict[str, float]:
    dataset, method, variant = group
    named = layout.printed_as.get(variant, "") if layout.printed_as else variant
    keys = {metric: (layout.printed, dataset, method, named, metric) for metric in METRICS}
    return {metric: published.paper()[key] for metric, key in keys.items() if key in published.paper()}


def _official(sweep: Sweep, group: tuple[str, str, str]) -> dict[str, float]:
    dataset, method, variant = group
    shots = 4 if sweep.protocol == "paper_4shot" else 16
    keys = {metric: (method, shots, metric) for metric in METRICS}
    if (
        dataset != "average"
        or sweep.variants[variant]["sar"]
        or not set(keys.values()) <= published.methods().keys()
    ):
        return {}
    return {metric: published.methods()[key] for metric, key in keys.items()}
