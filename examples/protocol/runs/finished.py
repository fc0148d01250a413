"""A finished run put to use: its record and learned tensors, without the images it was trained on."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn.functional import normalize

from examples.protocol.data.transforms import Transform, build, pixels_of
from examples.protocol.evaluation import text_rows
from examples.protocol.method import PromptMethod, Tokenizer
from examples.protocol.recipe import Recipe, check_setting
from examples.protocol.runs.config import RunConfig, RunSource
from examples.protocol.runs.learned import run_of
from examples.protocol.runs.loading import handcrafted_prompts, load_clip
from examples.protocol.runs.record import Record, hash_tensors, other_version, read_record
from sar_reg.bank import encode_templates
from sar_reg.class_names import fold
from sar_reg.errors import InputError
from sar_reg.prompting import text_tower
from sar_reg.shapes import Float, Tensor

Prompts = Literal["learned", "handcrafted"]


@dataclass(frozen=True)
class FinishedRun:
    """A trained method that takes any class names."""

    config: RunConfig
    record: Record
    model: Any
    tokenizer: Tokenizer
    method_class: type[PromptMethod]
    tensors: dict[str, Tensor]

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the classes that had training images."""
        return tuple(self.record["classnames"]["trained"])

    @property
    def classnames(self) -> tuple[str, ...]:
        """All names the run knows: trained and new."""
        return self.trained + tuple(self.record["classnames"]["new"])

    @property
    def transform(self) -> Transform:
        """The transform of test images."""
        return build("none", pixels_of(self.model))

    def method(self, classnames: Sequence[str]) -> PromptMethod:
        """The method with its learned tensors, for these names."""
        return self.method_class.with_learned(
            self.tensors,
            self.model,
            self.tokenizer,
            classnames,
            recipe=self.config.recipe,
            dataset=self.config.source.dataset,
        )

    def classifier(
        self, method: PromptMethod, *, new_classes: Prompts = "learned"
    ) -> Float[Tensor, "classes features"]:
        """Unit rows, float32, of the method's names.

        Args:
            method: from `method`.
            new_classes: take the ensemble of handcrafted prompts for names without training images.
        """
        rows = normalize(text_rows(method).detach().float(), dim=1)
        known = {fold(name) for name in self.trained}
        new = [i for i, name in enumerate(method.classnames) if fold(name) not in known]
        if new_classes == "handcrafted" and new:
            rows[new] = self.handcrafted_rows(method)[new].to(rows)
        return rows

    def handcrafted_rows(self, method: PromptMethod) -> Float[Tensor, "classes features"]:
        """Unit rows of the method's names from the handcrafted prompts alone."""
        prompts = handcrafted_prompts(self.config.source, ensemble=self.config.recipe.ensemble)
        return encode_templates(method.tower, method.classnames, prompts)


def open_finished(path: Path, device: torch.device) -> FinishedRun:
    """Open a run by its record; model and learned tensors are loaded and compared with it.

    Raises:
        InputError: if it is not the record of a trained run, its tensors are missing, or the model has changed.
    """
    path = path.with_suffix(".json") if path.suffix == ".safetensors" else path
    if not path.is_file():
        raise InputError(f"there is no file {path}; pass one of the *.json files in a run's --out folder")
    record = read_record(path)
    if record is None:
        if why := other_version(path):
            raise InputError(f"{path} {why}")
        raise InputError(f"{path} is not a run record; pass one of the *.json files in a run's --out folder")
    if record.get("method") == "zero-shot":
        raise InputError(
            f"{path} is a zero-shot record: nothing was learned; pass the record of a trained run"
        )
    try:
        config = _config_of(record)
        method_class = _method_of(config.method)
    except (InputError, KeyError, TypeError, AttributeError, ImportError, ValueError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{path} was changed or is of another version ({why}); restore the file, or train again with --fresh"
        ) from error
    weights = path.with_suffix(".safetensors")
    try:
        tensors, made_by = load_file(weights), run_of(weights)
    except (OSError, SafetensorError, ValueError, AttributeError) as error:
        raise InputError(
            f"the learned tensors of {path} are not at {weights} ({error}); keep both files together"
        ) from error
    if made_by != record["identity"]:
        raise InputError(
            f"{weights} holds the learned tensors of another run than {path}; "
            "keep the two files that a run wrote together, or train again with --fresh"
        )
    model, tokenizer = load_clip(config.source, config.recipe.precision, device)
    _check_model(path, record, model, tokenizer)
    return FinishedRun(config, record, model, tokenizer, method_class, tensors)


def _config_of(record: Record) -> RunConfig:
    """The configuration of a record; any error means that the record was not written by this version.

    What is read later is looked up here too.
    """
    source: dict[str, Any] = {**record["source"], "targets": tuple(record["source"]["targets"])}
    for name, kind in get_type_hints(RunSource).items():
        if name in source and name != "targets":
            check_setting(name, source[name], kind)
    names = record["classnames"]
    _check_strings([*names["trained"], *names["new"], *source["targets"]])
    _check_strings([record["identity"], record["title"], record["method"]])
    _check_strings([record["model"][key] for key in ("name", "text_fingerprint", "image_fingerprint")])
    check_setting("seed", record["seed"], int)
    check_setting("sar", record["sar"], bool)
    recipe = Recipe(**record["recipe"])
    return RunConfig(record["method"], RunSource(**source), recipe, record["seed"], record["sar"])


def _check_strings(values: Sequence[object]) -> None:
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{value!r:.40} is not a string")


def _method_of(name: str) -> type[PromptMethod]:
    folder = Path(__file__).parents[2] / name.lower()
    if not (name.isidentifier() and (folder / "method.py").is_file()):
        raise ValueError(f"there is no method {name!r:.40}")
    return getattr(importlib.import_module(f"examples.{name.lower()}.method"), name)


def _check_model(path: Path, record: Record, model: Any, tokenizer: Tokenizer) -> None:
    found = (text_tower(model, tokenizer).fingerprint(), hash_tensors(model.visual.state_dict()))
    expected = (record["model"]["text_fingerprint"], record["model"]["image_fingerprint"])
    if found != expected:
        raise InputError(
            f"{path} was trained with other weights than {record['model']['name']} has here; "
            "load the weights it was trained with"
        )
