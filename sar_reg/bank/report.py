"""What is in an anchor bank, where its novel names came from, and how many of them are new classes of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, cast

import torch
from torch.nn import functional as F

from sar_reg.checks import whole_number
from sar_reg.class_names import name_tuple
from sar_reg.errors import InputError, counted
from sar_reg.novel.same_name import KnownNames
from sar_reg.shapes import Float, Tensor

_SHOWN = 10


@dataclass(frozen=True)
class Overlap:
    """Novel names of a bank that are among the new classes of a benchmark.

    Attributes:
        new_classes: with how many they were compared.
        exact: novel names equal to a new class, up to case, `_` and spaces.
        other_spelling: pairs (novel, new) equal up to plural, article, accents, hyphens or word order.
        similar: triples (novel, new, cosine) above the threshold, the closest first; only if features
            of the new classes were passed.
    """

    new_classes: int
    exact: tuple[str, ...]
    other_spelling: tuple[tuple[str, str], ...]
    similar: tuple[tuple[str, str, float], ...] = ()

    def __str__(self) -> str:
        counts = f"{len(self.exact)} the same, {len(self.other_spelling)} in another spelling"
        lines = [f"Overlap with {counted(self.new_classes, 'new class')}: {counts}"]
        lines += [f"  {name}" for name in self.exact[:_SHOWN]]
        lines += [f"  {novel} ~ {known}" for novel, known in self.other_spelling[:_SHOWN]]
        lines += [f"  {novel} ~ {known} (cosine {c:.3f})" for novel, known, c in self.similar[:_SHOWN]]
        return "\n".join(lines)


@dataclass(frozen=True)
class BankReport:
    """The contents of a bank in words; `str(report)` fits a terminal, `as_dict()` a run record.

    Attributes:
        n_base: number of base classes.
        n_novel: number of novel classes.
        provenance: where the novel names came from, as the source described it.
        nearest: for a sample of novel classes, the base class with the most similar text feature and the cosine.
        overlap: with the new classes that were passed, or `None`.
    """

    n_base: int
    n_novel: int
    provenance: dict[str, Any]
    nearest: tuple[tuple[str, str, float], ...]
    overlap: Overlap | None

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.n_base} base and {counted(self.n_novel, 'novel class')}", *_origin(self.provenance)]
        if self.nearest:
            some = counted(len(self.nearest), "novel class")
            lines.append(f"Nearest base class of {some}, by cosine of the text features:")
            lines += [f"  {novel:<34.34} {base:<34.34} {cosine:.3f}" for novel, base, cosine in self.nearest]
        return "\n".join([*lines, *([str(self.overlap)] if self.overlap else [])])


class Named(NamedTuple):
    """Class names and their text features, row for row."""

    names: tuple[str, ...]
    features: Float[Tensor, "classes width"]


def find_overlap(
    novel: Named,
    new_classes: Sequence[str],
    features: Float[Tensor, "new width"] | None = None,
    threshold: float = 0.95,
) -> Overlap:
    """See `AnchorBank.overlap`."""
    known = KnownNames(new_classes := name_tuple(new_classes, "new_classes", ordered=False))
    if not isinstance(threshold, int | float) or not -1 <= threshold <= 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"threshold must be a cosine in -1..1, not {threshold!r}")
    matches = [(name, match) for name in novel.names if (match := known.match(name)) is not None]
    similar = () if features is None else _similar(novel, Named(new_classes, features), threshold)
    return Overlap(
        new_classes=len(new_classes),
        exact=tuple(name for name, match in matches if match.kind == "same"),
        other_spelling=tuple((name, match.known) for name, match in matches if match.kind == "near"),
        similar=similar,
    )


def _similar(novel: Named, new: Named, threshold: float) -> tuple[tuple[str, str, float], ...]:
    expected = (len(new.names), novel.features.shape[1])
    shape = tuple(getattr(new.features, "shape", ()))
    if not isinstance(new.features, Tensor) or shape != expected:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(
            f"features must have shape {expected}, a row for each new class, but are "
            f"a {type(new.features).__name__} of shape {shape}"
        )
    cosines = novel.features @ F.normalize(new.features.detach().to(novel.features), dim=1).T
    places = cast("list[tuple[int, int]]", torch.nonzero(cosines >= threshold).tolist())
    found = [(novel.names[i], new.names[j], float(cosines[i, j])) for i, j in places]
    return tuple(sorted(found, key=lambda pair: -pair[2]))


def find_nearest(base: Named, novel: Named, sample: int, seed: int) -> tuple[tuple[str, str, float], ...]:
    """For `sample` novel classes drawn by `seed`: the name, its most similar base class and their cosine."""
    n_shown = whole_number(sample, "sample")
    generator = torch.Generator("cpu").manual_seed(whole_number(seed, "seed", most=2**63 - 1))
    chosen = (
        torch.randperm(len(novel.names), generator=generator, device="cpu")[:n_shown].sort().values.tolist()
    )
    if not chosen:
        return ()
    best = (novel.features[chosen] @ base.features.T).max(dim=1)
    found = zip(chosen, best.indices.tolist(), best.values.tolist(), strict=True)
    pairs = [(novel.names[i], base.names[j], float(cosine)) for i, j, cosine in found]
    return tuple(sorted(pairs, key=lambda pair: -pair[2]))


def _origin(provenance: dict[str, Any]) -> list[str]:
    """Source, model, date, and how many names were asked for, kept and dropped, from a source's description."""
    lines = [f"Novel classes from: {_source(provenance)}"]
    if provenance.get("origin"):
        lines.append(f"  the list was made by: {_source(provenance['origin'])}")
    if provenance.get("looks_at_test_classes"):
        lines.append("  MADE FROM THE TEST CLASSES: an upper reference, not a result")
    result: dict[str, Any] = provenance.get("outcome") or {}
    if result:
        dropped: dict[str, int] = result.get("dropped") or {}
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
        lines.append(f"  asked {result['asked']}, kept {result['kept']}, dropped {sum(dropped.values())}")
        lines += [f"  dropped: {reasons}"] if reasons else []
        if result.get("kind"):
            lines.append(f'  kinds of "{result["kind"]}", as the base classes are: {result["of_that_kind"]}')
    return lines


def _source(about: dict[str, Any]) -> str:
    details = [str(about[key]) for key in ("model", "strategy", "file") if about.get(key)]
    date: str | None = (about.get("outcome") or {}).get("last")
    return " ".join([str(about.get("source", "unknown")), *details]) + (f", {date}" if date else "")
