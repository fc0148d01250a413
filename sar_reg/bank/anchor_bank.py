"""The anchor bank: frozen features of base and novel class names, the target of the regularisation."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize

from sar_reg.bank.report import BankReport, Named, Overlap, find_nearest, find_overlap
from sar_reg.errors import InputError
from sar_reg.files import write_atomic
from sar_reg.novel.same_name import fold
from sar_reg.prompting.towers import text_tower
from sar_reg.shapes import Float, Tensor

_FORMAT = "sar_reg.anchor_bank/1"
_LENGTH_TOLERANCE = 1e-3  # rows made in half precision are that far from 1


@dataclass(frozen=True, eq=False)
class AnchorBank:
    """Frozen text features ("anchors") of base and novel classes, made with handcrafted prompts.

    Attributes:
        classnames: N names, the base classes first.
        n_base: how many of them are base classes.
        embeddings: (N, D) float32, unit rows, no gradient; row i belongs to `classnames[i]`.
        temperature: the τ of CLIP's softmax, 1 / exp(logit_scale); 0.01 for the released models.
        templates: the handcrafted prompts over which each row is averaged.
        fingerprint: identifies the text tower that made the rows.
        provenance: where the novel names came from, as JSON values (source, model, seed, what was dropped).

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

    def __post_init__(self) -> None:
        for name in ("classnames", "templates"):  # a list would differ after save and load
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_names(self.classnames)
        shape = tuple(self.embeddings.shape)
        if len(shape) != 2 or shape[0] != len(self.classnames) or self.embeddings.dtype != torch.float32:
            raise InputError(
                f"embeddings must be torch.float32 of shape ({len(self.classnames)}, D), one row per class name, "
                f"but are {self.embeddings.dtype} of shape {shape}"
            )
        if not _is_count(self.n_base) or not 1 <= self.n_base <= len(self.classnames):
            raise InputError(
                f"n_base must be an int in 1..{len(self.classnames)}, the number of names, not {self.n_base}"
            )
        if not _is_number(self.temperature) or not (math.isfinite(self.temperature) and self.temperature > 0):
            raise InputError(
                f"temperature must be a positive, finite number (1 / exp(logit_scale)), not {self.temperature!r}; "
                "of a tensor pass .item()"
            )
        if self.embeddings.requires_grad:
            raise InputError("embeddings are the frozen side and must not require grad; pass .detach()")
        if not bool(torch.isfinite(self.embeddings).all()):
            raise InputError("embeddings hold NaN or infinity; check the model's weights and dtype")
        if bool(((self.embeddings.norm(dim=1) - 1).abs() > _LENGTH_TOLERANCE).any()):
            raise InputError(
                "embeddings must be rows of length 1; pass torch.nn.functional.normalize(x, dim=1), and look for "
                "rows of zeros"
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
        return (
            f"AnchorBank({self.n_base} base + {self.n_novel} novel classes, width {self.embeddings.shape[1]}, "
            f"{len(self.templates)} templates, temperature {self.temperature:.4g})"
        )

    def to(self, device: torch.device | str) -> AnchorBank:
        """The same bank with its embeddings on another device."""
        return self._with(self.classnames, self.embeddings.to(device))

    def subset(self, *, n_novel: int, seed: int = 0) -> AnchorBank:
        """Keep all base classes and a uniform random choice of `n_novel` novel ones, in their order.

        Raises:
            InputError: if `n_novel` is no int, negative or larger than what the bank holds.
        """
        if type(n_novel) is not int or not 0 <= n_novel <= self.n_novel:
            raise InputError(
                f"n_novel must be an int in 0..{self.n_novel}, the novel classes in this bank, not {n_novel!r}"
            )
        chosen = np.random.default_rng(seed).permutation(self.n_novel)[:n_novel]
        rows = [*range(self.n_base), *sorted(int(i) + self.n_base for i in chosen)]
        return self._with(tuple(self.classnames[i] for i in rows), self.embeddings[rows])

    def check(self, model: object) -> None:
        """Refuse a model whose text tower did not make this bank.

        Raises:
            InputError: if the fingerprints differ, or the bank has none.
        """
        if not self.fingerprint:
            raise InputError(
                "this bank does not say which text tower made it; build it with build_anchor_bank, or pass "
                "fingerprint=text_tower(model).fingerprint() to AnchorBank"
            )
        found = text_tower(model).fingerprint()
        if found != self.fingerprint:
            raise InputError(
                f"this bank was built with another text tower (fingerprint {self.fingerprint[:12]}…, this model has "
                f"{found[:12]}…); build a bank for this model with build_anchor_bank"
            )

    def report(self, held_out: Sequence[str] = (), *, sample: int = 10, seed: int = 0) -> BankReport:
        """Where the novel names came from, how many were dropped and why, and what they are close to.

        Args:
            held_out: names of a benchmark's new classes, to be told how many of them the bank contains.
            sample: for how many novel classes, drawn by `seed`, the nearest base class is shown.
            seed: of the draw.

        Returns:
            A report to print, or to store with `as_dict()`.
        """
        base = Named(self.base_classes, self.embeddings[: self.n_base])
        return BankReport(
            self.n_base,
            self.n_novel,
            dict(self.provenance),
            find_nearest(base, self._novel, sample, seed),
            find_overlap(self._novel, held_out) if held_out else None,
        )

    def overlap(
        self,
        held_out: Sequence[str],
        features: Float[Tensor, "held_out width"] | None = None,
        threshold: float = 0.95,
    ) -> Overlap:
        """Which novel classes are among held-out names: the same, in another spelling, or alike in feature.

        Args:
            held_out: names of a benchmark's new classes.
            features: their text features, a row each (such as a bank's `embeddings`), to compare by cosine.
            threshold: the cosine from which two names are listed as alike.

        Raises:
            InputError: if `features` does not fit the names and this bank.
        """
        return find_overlap(self._novel, held_out, features, threshold)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the bank as one safetensors file (names and provenance in its header), replacing it whole."""
        header = {
            "classnames": self.classnames,
            "n_base": self.n_base,
            "temperature": self.temperature,
            "templates": self.templates,
            "fingerprint": self.fingerprint,
            "provenance": dict(self.provenance),
        }
        rows = {"embeddings": self.embeddings.detach().cpu().contiguous()}
        about = json.dumps(header, ensure_ascii=False)
        metadata = {"format": _FORMAT, "bank": about, "sha256": _digest(about, rows["embeddings"])}
        return write_atomic(path, serialize(rows, metadata))

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: torch.device | str = "cpu") -> AnchorBank:
        """Read a bank that `save` wrote.

        Raises:
            InputError: if the file is damaged or is not an anchor bank.
            FileNotFoundError: if there is no such file.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"there is no anchor bank at {path}; make one with build_anchor_bank(...).save(path)"
            )
        try:
            with safe_open(path, framework="pt", device=str(device)) as stored:  # pyright: ignore[reportUnknownVariableType]
                metadata = cast("dict[str, str]", stored.metadata() or {})
                if metadata.get("format") != _FORMAT:
                    raise InputError(
                        f"{path} is not an anchor bank of this version (expected format {_FORMAT})"
                    )
                header: dict[str, Any] = json.loads(metadata["bank"])
                rows = cast(Tensor, stored.get_tensor("embeddings"))
            if metadata["sha256"] != _digest(metadata["bank"], rows.cpu()):
                raise InputError(f"{path} is damaged (its checksum does not fit); build it again")
            return cls(
                classnames=tuple(header["classnames"]),
                n_base=header["n_base"],
                embeddings=rows,
                temperature=header["temperature"],
                templates=tuple(header["templates"]),
                fingerprint=header["fingerprint"],
                provenance=header["provenance"],
            )
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is damaged or not an anchor bank ({error}); build it again") from error

    def _with(self, classnames: tuple[str, ...], embeddings: Tensor) -> AnchorBank:
        return AnchorBank(
            classnames,
            self.n_base,
            embeddings,
            self.temperature,
            self.templates,
            self.fingerprint,
            self.provenance,
        )


def _is_count(value: object) -> bool:
    return type(value) is int


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _digest(about: str, rows: Tensor) -> str:
    return hashlib.sha256(about.encode() + rows.numpy().tobytes()).hexdigest()


def check_names(names: Sequence[object]) -> None:
    """Refuse class names that are empty, repeated or no strings.

    Raises:
        InputError: naming the class; case, `_` and runs of spaces do not count.
    """
    seen: dict[str, str] = {}
    for position, name in enumerate(names):
        if not isinstance(name, str):
            raise InputError(f"class name {position} is {name!r}, not a string; convert it with str()")
        key = fold(name)
        if not key:
            raise InputError(f"class name {position} is empty; every class needs a name")
        if key in seen:
            raise InputError(
                f"the class names {seen[key]!r} and {name!r} are the same (case, '_' and spaces do not count); "
                "remove one of them"
            )
        seen[key] = name
