"""Tables 1, 3 and 4, and the tables beside figures 3 and 5: base, new and H."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from examples.paper import published
from examples.paper.results import Accuracies, Runs
from examples.paper.sweep import Sweep
from examples.paper.table import Table, number, with_spread

METRICS = ("base", "new", "h")
TITLES: Mapping[str, str] = {
    "table1": "Table 1: what each part of SAR adds",
    "table3": "Table 3: base-to-new generalisation",
    "table4": "Table 4: base-to-new generalisation, 4 shots",
    "fig3": "Figure 3: number of novel classes",
    "fig4": "Figure 4: weight λ, 4 shots",
    "fig5": "Figure 5: sources of novel names",
    "calibrate": "Calibration: direction, reduction and sampling",
}
VARIANTS: Mapping[str, str] = {
    "baseline": "{}",
    "sar": "{} + SAR",
    "sar_novel50": "{} + SAR, 50 novel",
    "sar_single_template_all_classes": "{} + SAR, one prompt, all classes",
    "sar_prompt_ensembling": "{} + SAR, 8 prompts, all classes",
}


def accuracy_table(sweep: Sweep, runs: Runs, *, real: bool) -> Table:
    """Base / New / H of every data set, method and variant.

    Args:
        sweep: which table.
        runs: what has been run.
        real: whether these are the paper's data sets, so that its numbers stand beside.
    """
    accuracies = Accuracies(runs)
    averages_only = sweep.name in ("table1", "table4") and real
    datasets = ("average",) if averages_only else ("average", *accuracies.datasets)
    if len(accuracies.datasets) == 1:
        datasets = accuracies.datasets
    reference = next(iter(sweep.variants))
    weights = sweep.name == "fig4"  # beside the accuracies it shows what the loss came down to
    rows, numbers = [], []
    for dataset, method, variant in _groups(sweep, datasets):
        ours = {m: accuracies.mean(dataset, method, variant, m) for m in METRICS}
        spread = {m: accuracies.spread(dataset, method, variant, m) for m in METRICS}
        theirs = _paper(sweep, dataset, method, variant) if real else {}
        official = _official(sweep, dataset, method, variant) if real else {}
        cells = [_shown(official), _shown(theirs)] if real else []
        cells += [with_spread(ours[m], spread[m] if m != "h" else None) for m in METRICS]
        if real:
            cells.append(_difference(ours, theirs))
        paired = accuracies.paired(dataset, method, variant, "new", reference)
        cells.append("" if variant == reference or paired is None else f"{paired[0]:+.2f} ± {paired[1]:.2f}")
        if weights:
            ours["sar_loss"] = accuracies.sar_loss(dataset, method, variant)
            cells.append(number(ours["sar_loss"], 3))
        rows.append([dataset, variant_label(sweep, method, variant), *cells])
        numbers += _numbers(dataset, method, variant, official, theirs, ours, spread)
    columns = ["data set", "method", *(["published B / N / H", "paper's run B / N / H"] if real else [])]
    columns += ["Base", "New", "H", *(["ours − paper's run"] if real else []), "New − first row, per seed"]
    columns += ["SAR loss"] if weights else []
    notes = [
        "Percent correct, mean ± standard deviation over seeds; H is the harmonic mean of mean Base and mean New. "
        "The last column pairs runs of the same seed."
    ]
    if weights:
        notes.append("SAR loss: over all base and novel classes, after training.")
    if real:
        notes.append("*not run*: no run record is present; no number is made up for it.")
    return Table(sweep.name, TITLES[sweep.name], notes, columns, rows, numbers)


def _groups(sweep: Sweep, datasets: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for dataset in datasets:
        for method in sweep.methods:
            for variant in sweep.variants:
                yield dataset, method, variant


def variant_label(sweep: Sweep, method: str, variant: str) -> str:
    """What a reader sees for a variant of a method."""
    if variant in VARIANTS:
        return VARIANTS[variant].format(method)
    return f"{method}, " + (f"λ = {variant}" if sweep.name == "fig4" else variant.replace("_", " "))


def _paper(sweep: Sweep, dataset: str, method: str, variant: str) -> dict[str, float]:
    number_of = sweep.name.removeprefix("table")
    keys = {m: (number_of, dataset, method, variant, m) for m in METRICS}
    return {m: published.paper()[key] for m, key in keys.items() if key in published.paper()}


def _official(sweep: Sweep, dataset: str, method: str, variant: str) -> dict[str, float]:
    if sweep.name != "table3" or dataset != "average" or variant != "baseline":
        return {}
    return {m: published.methods()[method, 16, m] for m in METRICS}


def _shown(values: Mapping[str, float]) -> str:
    return " / ".join(f"{values[m]:.2f}" for m in METRICS) if values else "–"


def _difference(ours: Mapping[str, float | None], theirs: Mapping[str, float]) -> str:
    pairs = [(ours[m], theirs.get(m)) for m in METRICS]
    if any(a is None or b is None for a, b in pairs):
        return "–"
    return " / ".join(number(a - b, sign=True) for a, b in pairs if a is not None and b is not None)


def _numbers(
    dataset: str,
    method: str,
    variant: str,
    official: Mapping[str, float],
    theirs: Mapping[str, float],
    ours: Mapping[str, float | None],
    spread: Mapping[str, float | None],
) -> list[dict[str, object]]:
    return [
        {
            "dataset": dataset,
            "method": method,
            "variant": variant,
            "metric": metric,
            "published": official.get(metric),
            "paper": theirs.get(metric),
            "ours": value,
            "ours_std": spread.get(metric),
            "difference": None if value is None or metric not in theirs else value - theirs[metric],
        }
        for metric, value in ours.items()
    ]
