"""The anchor bank: frozen features of base and novel class names, the target of the regularisation."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sar_reg.bank.report import BankReport, Named, Overlap, find_nearest, find_overlap
from sar_reg.checks import existing_device, positive_temperature, switch, whole_number
from sar_reg.class_names import name_tuple, refuse_repeats
from sar_reg.errors import InputError, counted
from sar_reg.prompting.towers import text_tower
from sar_reg.shapes import Float, Tensor
from sar_reg.tensor_file import TensorFile, json_values

_FILE = TensorFile(
    "an anchor bank",
    format="sar_reg.anchor_bank/1",
    about="bank",
    fields={
        "classnames": list,
        "n_base": int,
        "temperature": float | int,
        "templates": list,
        "fingerprint": str,
        "provenance": dict,
        "allow_repeated": bool,
    },
    tensor="embeddings",
    make="make one with build_anchor_bank(...).save(path)",
    again="build it again",
)
_LENGTH_TOLERANCE = 1e-3  # rows made in half precision are that far from 1


@dataclass(frozen=True, eq=False)
class AnchorBank:
    """Frozen text features ("anchors") of base and novel classes, made with handcrafted prompts.

    Attributes:
        classnames: N names, the base classes first.
        n_base: how many of them are base classes.
        embeddings: (N, D) float32, unit rows, no gradient; row i belongs to `classnames[i]`.
        temperature: the τ of CLIP's softmax, 1 / exp(logit_scale); 0.01 for the released models.
        templates: the handcrafted prompts, whose features each row averages.
        fingerprint: identifies the text tower that made the rows.
        provenance: where the novel names came from, as JSON values (source, model, seed, what was dropped).
        allow_repeated: accept base classes of one name, as ImageNet's two classes called "missile". Their rows are
            equal, so no prompt can tell them apart. SAR stays finite: in each other's row the twins have the largest
            share, in the handcrafted and the learned similarities alike.

    Raises:
        InputError: for names that are empty or repeated (case and `_` do not count), sizes that do not
            match, or rows that are not finite, not of length 1, or require grad.
    """

    classnames: tuple[str, ...]
    n_base: int
    embeddings: Float[Tensor, "classes width"]
    temperature: float
    templates: tuple[str, ...] = ()
    fingerprint: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    allow_repeated: bool = False

    def __post_init__(self) -> None:
        # converted once here, so that a loaded bank holds the same values and types
        names = name_tuple(self.classnames, "classnames")
        n_base = whole_number(self.n_base, "n_base", least=1, most=len(names))
        refuse_repeats(names, n_base, allow_repeated=switch(self.allow_repeated, "allow_repeated"))
        converted = {
            "classnames": names,
            "templates": name_tuple(self.templates, "templates", what="templates"),
            "n_base": n_base,
            "temperature": positive_temperature(self.temperature),
            "embeddings": _unit_rows(self.embeddings, len(names)),
            "provenance": json_values(self.provenance, "provenance"),
        }
        for field_name, value in converted.items():
            object.__setattr__(self, field_name, value)
        if not isinstance(self.fingerprint, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(
                f"fingerprint must be text, such as tower.fingerprint(), not {self.fingerprint!r}"
            )

    @property
    def n_novel(self) -> int:
        """How many of the classes are novel."""
        return len(self.classnames) - self.n_base

    @property
    def base_classes(self) -> tuple[str, ...]:
        """The names of the base classes."""
        return self.classnames[: self.n_base]

    @property
    def novel_classes(self) -> tuple[str, ...]:
        """The names of the novel classes."""
        return self.classnames[self.n_base :]

    @property
    def _novel(self) -> Named:
        return Named(self.novel_classes, self.embeddings[self.n_base :])

    def __repr__(self) -> str:
        classes = f"{self.n_base} base + {counted(self.n_novel, 'novel class')}"
        templates = counted(len(self.templates), "template")
        width, temperature = self.embeddings.shape[1], self.temperature
        return f"AnchorBank({classes}, width {width}, {templates}, temperature {temperature:.4g})"

    def to(self, device: torch.device | str) -> AnchorBank:
        """The same bank with its embeddings on another device.

        Raises:
            InputError: for a device that does not exist on this machine.
        """
        return replace(self, embeddings=self.embeddings.to(existing_device(device)))

    def subset(self, *, n_novel: int, seed: int = 0) -> AnchorBank:
        """Keep all base classes and a uniform random choice of `n_novel` novel ones, in their order.

        Raises:
            InputError: if `n_novel` is not an int, negative or larger than `self.n_novel`.
        """
        n_kept = whole_number(n_novel, "n_novel", most=self.n_novel)
        chosen = np.random.default_rng(whole_number(seed, "seed")).permutation(self.n_novel)[:n_kept]
        rows = [*range(self.n_base), *sorted(int(i) + self.n_base for i in chosen)]
        names = tuple(self.classnames[i] for i in rows)
        return replace(self, classnames=names, embeddings=self.embeddings[rows])

    def check(self, model: object) -> None:
        """Refuse a model whose text tower did not make this bank.

        Raises:
            InputError: if the fingerprints differ, or the bank has none.
        """
        if not self.fingerprint:
            raise InputError(
                "this bank does not record which text tower made it; build it with build_anchor_bank, or pass "
                "fingerprint=text_tower(model).fingerprint() to AnchorBank"
            )
        found = text_tower(model).fingerprint()
        if found != self.fingerprint:
            raise InputError(
                f"this bank was built with another text tower (fingerprint {self.fingerprint[:12]}..., this model has "
                f"{found[:12]}...); build a bank for this model with build_anchor_bank"
            )

    def report(self, new_classes: Sequence[str] = (), *, sample: int = 10, seed: int = 0) -> BankReport:
        """Where the novel names came from, how many were dropped and why, and what they are close to.

        Args:
            new_classes: of a benchmark; the report counts those that the bank contains.
            sample: for how many novel classes, drawn by `seed`, the nearest base class is shown.
            seed: of the draw.

        Returns:
            A report to print, or to store with `as_dict()`.
        """
        new_classes = name_tuple(new_classes, "new_classes", ordered=False)
        base = Named(self.base_classes, self.embeddings[: self.n_base])
        return BankReport(
            self.n_base,
            self.n_novel,
            dict(self.provenance),
            find_nearest(base, self._novel, sample, seed),
            find_overlap(self._novel, new_classes) if new_classes else None,
        )

    def overlap(
        self,
        new_classes: Sequence[str],
        features: Float[Tensor, "new width"] | None = None,
        threshold: float = 0.95,
    ) -> Overlap:
        """Find novel classes that are new classes of a benchmark: equal, respelled, or with similar features.

        Args:
            new_classes: of a benchmark.
            features: their text features, a row each (such as a bank's `embeddings`), to compare by cosine.
            threshold: the cosine from which two names are listed as alike.

        Raises:
            InputError: if `features` is not a row for each name, as wide as this bank.
        """
        return find_overlap(self._novel, new_classes, features, threshold)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the bank as one safetensors file (names and provenance in its header), replacing it whole."""
        about = json.dumps({name: getattr(self, name) for name in _FILE.fields}, ensure_ascii=False)
        return _FILE.save(path, about, self.embeddings.detach().cpu().contiguous())

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: torch.device | str = "cpu") -> AnchorBank:
        """Read a bank that `save` wrote.

        Raises:
            InputError: if the file is damaged or not an anchor bank, or the device does not exist here.
            FileNotFoundError: if there is no such file.
        """
        about, rows = _FILE.read(path, allow_repeated=False)
        about |= {name: tuple(about[name]) for name in ("classnames", "templates")}
        return cls(embeddings=rows, **about).to(device)


def _unit_rows(rows: object, n: int) -> Tensor:
    if not isinstance(rows, Tensor):
        raise InputError(f"embeddings must be a torch.Tensor, not {type(rows).__name__}; use torch.as_tensor")
    if rows.ndim != 2 or len(rows) != n or rows.dtype != torch.float32:
        raise InputError(
            f"embeddings must be torch.float32 of shape ({n}, D), one row per class name, "
            f"but are {rows.dtype} of shape {tuple(rows.shape)}"
        )
    if rows.is_meta:
        raise InputError(
            "embeddings on the meta device have no values; keep them on a device that has memory"
        )
    if rows.requires_grad:
        raise InputError("embeddings are the frozen side and must not require grad; pass .detach()")
    if rows.is_inference():  # autograd refuses such tensors in the loss
        with torch.inference_mode(False):
            rows = rows.clone()
    if not bool(torch.isfinite(rows).all()):
        raise InputError("embeddings hold NaN or infinity; check the model's weights and dtype")
    if bool(((rows.norm(dim=1) - 1).abs() > _LENGTH_TOLERANCE).any()):
        raise InputError(
            "embeddings must be rows of length 1; pass torch.nn.functional.normalize(x, dim=1), and look for "
            "rows of zeros"
        )
    return rows
