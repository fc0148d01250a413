"""Tables 1, 3 and 4, and the tables beside figures 3 and 5: base, new and H."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from examples.paper import published
from examples.paper.results import Accuracies, Runs
from examples.paper.sweep import Sweep
from examples.paper.table import NOT_RUN, Table, number, paired_text, with_spread

METRICS = ("base", "new", "h")
SAME_RUNS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "fig3": ("3", {"baseline": "baseline", "sar": "sar"}),
    "fig4": ("4", {"0": "baseline", "1.0": "sar"}),
    "fig5": ("3", {"none": "baseline"}),
    "calibrate": ("3", {"baseline": "baseline"}),
}
"""Where a figure draws what a table of the paper prints: the table, and its name of each variant."""
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
    words = sweep.name == "fig5"  # and this one how many held-out names are among the novel ones
    # the paper's average is over its own data sets, not over some of them
    compared = real and ("average" not in datasets or set(accuracies.datasets) == set(sweep.datasets))
    rows, numbers = [], []
    for dataset, method, variant in _groups(sweep, datasets):
        ours = {m: accuracies.mean(dataset, method, variant, m) for m in METRICS}
        spread = {m: accuracies.spread(dataset, method, variant, m) for m in METRICS}
        known = real and (compared or dataset != "average")
        theirs = _paper(sweep, dataset, method, variant) if known else {}
        official = _official(sweep, dataset, method, variant) if known else {}
        cells = [_shown(official), _shown(theirs)] if real else []
        cells += [with_spread(ours[m], spread[m] if m != "h" else None) for m in METRICS]
        if real:
            cells.append(_difference(ours, theirs))
        paired = accuracies.paired(dataset, method, variant, "new", reference)
        cells.append("" if variant == reference else paired_text(paired))
        if weights:
            ours["sar_loss"] = accuracies.sar_loss(dataset, method, variant)
            cells.append(number(ours["sar_loss"], 3))
        if words:
            overlap = accuracies.held_out(dataset, method, variant)
            ours["held_out_names"], ours["held_out_names_left_out"] = overlap or (None, None)
            cells.append(_overlap(sweep, variant, overlap))
        rows.append([dataset, variant_label(sweep, method, variant), *cells])
        numbers += _numbers(dataset, method, variant, official, theirs, ours, spread)
    columns = ["data set", "method", *(["published B / N / H", "paper's run B / N / H"] if real else [])]
    columns += ["Base", "New", "H", *(["ours − paper's run"] if real else []), "New − first row, per seed"]
    columns += ["SAR loss"] if weights else []
    columns += ["held-out names used (left out)"] if words else []
    notes = [
        "Percent correct, mean ± standard deviation over seeds; H is the harmonic mean of mean Base and mean New. "
        "The last column pairs runs of the same seed."
    ]
    if weights:
        notes.append("SAR loss: over all base and novel classes, after training.")
    if words:
        notes.append(
            "Held-out names: classes of the test that are among the novel names, in all data sets of the row, and "
            "in brackets those that the source had and that were left out for it; the WordNet lists of the repository "
            "were made without them."
        )
    if real and not compared:
        notes.append(
            f"The average is over {len(accuracies.datasets)} of the paper's {len(sweep.datasets)} data sets, so it "
            "is not compared with the paper's."
        )
    if real and "CoPrompt" in sweep.methods and _without_descriptions(runs):
        notes.append(
            "CoPrompt ran without its descriptions: handcrafted prompts stand in for them, so its rows are not the "
            "paper's method. Give --descriptions FOLDER."
        )
    if real:
        notes.append("*not run*: no run record is present; no number is made up for it.")
    return Table(sweep.name, TITLES[sweep.name], notes, columns, rows, numbers)


def _overlap(sweep: Sweep, variant: str, overlap: tuple[int, int] | None) -> str:
    if overlap is None:
        return NOT_RUN if sweep.variants[variant]["sar"] else ""
    return f"{overlap[0]} ({overlap[1]})"


def _without_descriptions(runs: Runs) -> bool:
    return any(
        record["method"] == "CoPrompt" and not record["recipe"]["descriptions"]
        for by_seed in runs.values()
        for record in by_seed.values()
    )


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
    printed, variants = SAME_RUNS.get(sweep.name, (sweep.name.removeprefix("table"), {}))
    named = variants.get(variant, "") if sweep.name in SAME_RUNS else variant
    keys = {m: (printed, dataset, method, named, m) for m in METRICS}
    return {m: published.paper()[key] for m, key in keys.items() if key in published.paper()}


def _official(sweep: Sweep, dataset: str, method: str, variant: str) -> dict[str, float]:
    shots = 4 if sweep.protocol == "paper_4shot" else 16
    without = not sweep.variants[variant]["sar"]
    keys = {m: (method, shots, m) for m in METRICS}
    if dataset != "average" or not without or not all(key in published.methods() for key in keys.values()):
        return {}
    return {m: published.methods()[key] for m, key in keys.items()}


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
