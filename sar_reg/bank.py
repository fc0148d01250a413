"""The anchor bank: frozen features of base and novel class names, the target of the regularisation."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize

from sar_reg.errors import InputError
from sar_reg.files import write_atomic
from sar_reg.prompting.template_bank import encode_templates
from sar_reg.prompting.towers import text_tower
from sar_reg.shapes import Float, Int, Tensor
from sar_reg.templates import resolve_templates

_FORMAT = "sar_reg.anchor_bank/1"


@runtime_checkable
class NovelSource(Protocol):
    """Anything that can name novel classes, such as those of `sar_reg.novel`."""

    def generate(
        self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str], seed: int
    ) -> list[str]:
        """Return `n` class names, none of them in `base_classes` or `exclude`."""
        ...


def fold(name: str) -> str:
    """The form in which two class names count as the same: case folded, `_` and runs of spaces as one space.

    Examples:
        >>> fold("Tabby_Cat ") == fold("tabby  cat")
        True
    """
    return " ".join(name.replace("_", " ").casefold().split())


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
            match, or rows that are not finite.
    """

    classnames: tuple[str, ...]
    n_base: int
    embeddings: Float[Tensor, "classes width"]
    temperature: float
    templates: tuple[str, ...] = ()
    fingerprint: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        _check_names(self.classnames)
        shape = tuple(self.embeddings.shape)
        if len(shape) != 2 or shape[0] != len(self.classnames) or self.embeddings.dtype != torch.float32:
            raise InputError(
                f"embeddings must be float32 of shape ({len(self.classnames)}, D), one row per class name, "
                f"but are {self.embeddings.dtype} of shape {shape}"
            )
        if not 1 <= self.n_base <= len(self.classnames):
            raise InputError(
                f"n_base must lie in 1..{len(self.classnames)}, the number of names, not {self.n_base}"
            )
        if not self.temperature > 0:
            raise InputError(f"temperature must be positive (1 / exp(logit_scale)), not {self.temperature}")
        if not bool(torch.isfinite(self.embeddings).all()):
            raise InputError("embeddings hold NaN or infinity; check the model's weights and dtype")

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
            InputError: if `n_novel` is negative or larger than what the bank holds.
        """
        if not 0 <= n_novel <= self.n_novel:
            raise InputError(
                f"n_novel must lie in 0..{self.n_novel}, the novel classes in this bank, not {n_novel}"
            )
        chosen = np.random.default_rng(seed).permutation(self.n_novel)[:n_novel]
        rows = [*range(self.n_base), *sorted(int(i) + self.n_base for i in chosen)]
        return self._with(tuple(self.classnames[i] for i in rows), self.embeddings[rows])

    def check(self, model: object) -> None:
        """Refuse a model whose text tower did not make this bank.

        Raises:
            InputError: if the fingerprints differ.
        """
        found = text_tower(model).fingerprint()
        if found != self.fingerprint:
            raise InputError(
                f"this bank was built with another text tower (fingerprint {self.fingerprint[:12]}…, this model has "
                f"{found[:12]}…); build a bank for this model with build_anchor_bank"
            )

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
        metadata = {"format": _FORMAT, "bank": json.dumps(header, ensure_ascii=False)}
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


def build_anchor_bank(
    model: object,
    tokenizer: Callable[[list[str]], Int[Tensor, "texts context"]],
    base_classes: Sequence[str],
    novel: Sequence[str] | NovelSource | None = None,
    n_novel: int = 200,
    templates: str | Sequence[str] = "imagenet",
    exclude: Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> AnchorBank:
    """Encode base and novel class names once with an ensemble of handcrafted prompts.

    Each row is `T_i = n(Σ_m n(E(template_m(name_i))))` with n(x) = x / ‖x‖ (the paper, section 3.3).

    Args:
        model: an open_clip `CLIP` or `CustomTextCLIP`, or another model that `sar_reg.prompting` knows.
            It is used on its own device and dtype and left as it was.
        tokenizer: `list[str] -> LongTensor (texts, context)`, such as `open_clip.get_tokenizer(...)`.
        base_classes: the classes that have training images, in the order of their labels.
        novel: `None` (no novel classes), a sequence of names (at most `n_novel` are taken, in order),
            or a source of `sar_reg.novel` that is asked for `n_novel` names.
        n_novel: how many novel classes are wanted.
        templates: a data set's key of the paper (eight prompts), or a sequence of prompts with `{}`.
        exclude: names that must not be used as novel classes, such as a benchmark's held-out classes.
        seed: passed to the source of novel classes.
        batch_size: texts encoded at a time.
        device: where the embeddings are kept; the model's device by default.
        progress: show a progress bar on the terminal.

    Returns:
        The bank: base classes first, then novel ones; embeddings (N, D) float32.

    Raises:
        InputError: for empty, repeated or too long names (named in the message) and for bad templates.
    """
    if isinstance(base_classes, str) or isinstance(novel, str):
        raise InputError("class names must be given as a sequence of strings, not as one string")
    prompts = resolve_templates(templates)
    base = tuple(base_classes)
    if not base:
        raise InputError("base_classes is empty; pass the names of the classes that have training images")
    _check_names(base)
    tower = text_tower(model, tokenizer)
    chosen, provenance = _novel_names(novel, base, n_novel, exclude, seed)
    names = base + chosen
    _check_names(names)
    embeddings = encode_templates(tower, names, prompts, batch_size=batch_size, progress=progress)
    return AnchorBank(
        classnames=names,
        n_base=len(base),
        embeddings=embeddings.to(tower.device if device is None else device),
        temperature=tower.temperature,
        templates=prompts,
        fingerprint=tower.fingerprint(),
        provenance=provenance,
    )


def _novel_names(
    novel: Sequence[str] | NovelSource | None,
    base: tuple[str, ...],
    n: int,
    exclude: Sequence[str],
    seed: int,
) -> tuple[tuple[str, ...], dict[str, Any]]:
    if n < 0:
        raise InputError(f"n_novel must be 0 or more, not {n}")
    if novel is None or n == 0:
        return (), {"source": "none"}
    if isinstance(novel, NovelSource):
        names = tuple(novel.generate(base, n, exclude=exclude, seed=seed))
        describe = cast("Callable[[], dict[str, Any]] | None", getattr(novel, "describe", None))
        return names, {"source": type(novel).__name__} if describe is None else describe()
    forbidden = {fold(name) for name in exclude}
    kept = [name for name in novel if fold(name) not in forbidden]
    provenance = {"source": "sequence", "given": len(novel), "excluded": len(novel) - len(kept)}
    return tuple(kept[:n]), provenance


def _check_names(names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for position, name in enumerate(names):
        key = fold(name)
        if not key:
            raise InputError(f"class name {position} is empty; every class needs a name")
        if key in seen:
            raise InputError(
                f"the class names {seen[key]!r} and {name!r} are the same (case, '_' and spaces do not count); "
                "remove one of them"
            )
        seen[key] = name
