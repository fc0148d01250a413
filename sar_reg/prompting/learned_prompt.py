"""A learned context in one file, with everything that is needed to use it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from sar_reg.checks import real_number
from sar_reg.class_names import some_names
from sar_reg.errors import InputError, counted
from sar_reg.prompting.encoder import PromptEncoder
from sar_reg.prompting.learned import check_vectors
from sar_reg.prompting.towers import TextTower, text_tower
from sar_reg.prompting.towers.tokens import Tokenizer
from sar_reg.shapes import Float, Tensor
from sar_reg.tensor_file import TensorFile, json_values

_FILE = TensorFile(
    "a learned prompt",
    format="sar_reg.learned_prompt/1",
    about="prompt",
    fields={
        "n_ctx": int,
        "template": {"infix": str, "suffix": str, "class_position": str},
        "classnames": list,
        "model": str,
        "fingerprint": str,
        "lam": float | int | None,
        "made": dict,
    },
    tensor="ctx",
    make="write one with LearnedPrompt.save",
    again="copy or train it again",
)


class LearnedPrompt:
    """A context shared by all classes, with its template and the model it belongs to.

    The prompt of a class is `start | context | infix | name | suffix | end`, or one of the encoder's other
    orders. Any names can be put in, trained on or not: `w_c = t_c / ‖t_c‖` with `t_c` the text
    feature of the prompt of class c.

    Args:
        encoder: the encoder that the context was trained with; its template and text tower are used.
        context: `(n_ctx, width)`, the learned vectors; detached and copied to the CPU.
        classnames: the names with training images; the encoder's names by default.
        model: what the model is called, for people; the weights are identified by their fingerprint.
        lam: weight λ of the SAR loss, None if it was trained without.
        made: how it was made, as JSON values (method, data set, seed, …).

    Raises:
        InputError: if the context has another shape or is not finite, or another argument is of another type.

    Examples:
        >>> from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
        >>> vision = CLIPVisionCfg(layers=1, width=64, image_size=32)
        >>> model = CLIP(16, vision, CLIPTextCfg(width=32, heads=2, layers=2)).eval()
        >>> encoder = PromptEncoder(model, None, ["cat", "dog"], n_ctx=4)
        >>> prompt = LearnedPrompt(encoder, encoder.context_from_words("a photo of a"), lam=0.1)
        >>> prompt
        LearnedPrompt("X X X X {}.", n_ctx=4, trained on 2 classes, lam=0.1)
        >>> prompt.classifier(["lynx", "cat", "fox"]).shape
        torch.Size([3, 16])
    """

    def __init__(
        self,
        encoder: PromptEncoder,
        context: Float[Tensor, "context width"],
        *,
        classnames: Sequence[str] | None = None,
        model: str = "",
        lam: float | None = None,
        made: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(encoder, PromptEncoder):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"encoder must be a PromptEncoder, not {type(encoder).__name__}")
        if not isinstance(model, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"model must be a name for people, such as ViT-B-16, not {type(model).__name__}")
        expected = (encoder.n_ctx, encoder.tower.width)
        each = "; all classes share it: class-specific contexts cannot be used for other names"
        check_vectors("context", context, (expected,), advice=each)
        if not bool(torch.isfinite(context).all()):
            raise InputError("context holds NaN or infinity; train again with a lower learning rate")
        self.context = context.detach().cpu().contiguous().clone()
        self.classnames = encoder.classnames if classnames is None else some_names(classnames, "classnames")
        self.template, self.n_ctx = encoder.template, encoder.n_ctx
        self.infix, self.suffix = encoder.infix, encoder.suffix
        self.class_position = encoder.class_position
        self.model, self.made = model, json_values({} if made is None else made, "made")
        self.lam = None if lam is None else real_number(lam, "lam", least=0, otherwise=", or None")
        self.fingerprint = encoder.tower.fingerprint()
        self._tower = encoder.tower

    def encoder(self, classnames: Sequence[str]) -> PromptEncoder:
        """An encoder of these names in the learned prompt's template, for `encoder(prompt.context)`."""
        return PromptEncoder(self._tower, None, classnames, **asdict(self.template))

    @torch.no_grad()
    def classifier(self, classnames: Sequence[str]) -> Float[Tensor, "classes features"]:
        """Unit rows of any names, float32, on the model's device; a class's logit is `row @ feature / τ`.

        Raises:
            InputError: if a name is empty or does not fit the model's context.
        """
        features = self.encoder(classnames)(self.context.to(self._tower.device))
        return normalize(features.float(), dim=1)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one safetensors file: the tensor `ctx`, everything else as JSON in the header."""
        return _FILE.save(path, self._about(), self.context)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], model: object, tokenizer: Tokenizer | None = None
    ) -> LearnedPrompt:
        """Read a file that `save` wrote.

        Args:
            path: the file.
            model: the model it was trained with, as `text_tower` accepts it.
            tokenizer: its tokenizer.

        Raises:
            FileNotFoundError: if there is no such file.
            InputError: if the file is damaged or something else, or the model has other weights.
        """
        about, context = _FILE.read(path)
        tower = text_tower(model, tokenizer)
        if not isinstance(tower, TextTower):
            raise InputError("a learned prompt needs the model it was trained with, not a function")
        found = tower.fingerprint()
        if found != about["fingerprint"]:
            raise InputError(
                f"{path} was trained with other weights ({about['model'] or 'model'}, fingerprint "
                f"{about['fingerprint'][:12]}...; this model has {found[:12]}...); "
                "load the model it was trained with"
            )
        encoder = PromptEncoder(tower, None, about["classnames"], n_ctx=about["n_ctx"], **about["template"])
        return cls(encoder, context, **{key: about[key] for key in ("model", "lam", "made")})

    def __repr__(self) -> str:
        lam = "" if self.lam is None else f", lam={self.lam:g}"
        model = f", {self.model}" if self.model else ""
        return (
            f'LearnedPrompt("{self.template}", n_ctx={self.n_ctx}, '
            f"trained on {counted(len(self.classnames), 'class')}{lam}{model})"
        )

    def _about(self) -> str:
        template = asdict(self.template)
        about = {"n_ctx": template.pop("n_ctx"), "template": template}
        about |= {name: getattr(self, name) for name in ("classnames", "model", "fingerprint", "lam", "made")}
        return json.dumps(about, ensure_ascii=False)
