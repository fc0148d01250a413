"""What is particular to each table of accuracies: its title, the paper's numbers that belong to it, more columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from examples.paper import published
from examples.paper.results import Group

METRICS = ("base", "new", "h")
VARIANTS: Mapping[str, str] = {
    "baseline": "{}",
    "sar": "{} + SAR",
    "sar_novel50": "{} + SAR, 50 novel",
    "sar_single_template_all_classes": "{} + SAR, one prompt, all classes",
    "sar_prompt_ensembling": "{} + SAR, 8 prompts, all classes",
}
"""What a reader sees for a variant of a method, where several tables have it."""


@dataclass(frozen=True)
class Layout:
    """What is particular to one table.

    Attributes:
        title: its title.
        printed: the paper's table that prints these runs.
        printed_as: our name of a variant → the paper's name in that table; empty if they are the same.
        averages: on the paper's data show the averages only, as the paper does.
        variant: what a reader sees for a variant that is not in `VARIANTS`.
        more: a quantity with a column of its own: the SAR loss, or the new classes among the novel names.
    """

    title: str
    printed: str
    printed_as: Mapping[str, str] = field(default_factory=dict)
    averages: bool = False
    variant: str = "{}"
    more: Literal["", "sar_loss", "held_out"] = ""

    def label(self, method: str, variant: str) -> str:
        """What a reader sees for a variant of a method."""
        if variant in VARIANTS:
            return VARIANTS[variant].format(method)
        return f"{method}, {self.variant.format(variant.replace('_', ' '))}"

    def paper(self, group: Group) -> dict[str, float]:
        """Metric → the paper's number; empty if it prints none."""
        dataset, method, variant = group
        named = self.printed_as.get(variant, "") if self.printed_as else variant
        keys = {metric: (self.printed, dataset, method, named, metric) for metric in METRICS}
        return {metric: published.paper()[key] for metric, key in keys.items() if key in published.paper()}


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
        more="sar_loss",
    ),
    "fig5": Layout("Figure 5: sources of novel names", "3", {"none": "baseline"}, more="held_out"),
    "calibrate": Layout("Calibration: direction, reduction and sampling", "3", {"baseline": "baseline"}),
}
