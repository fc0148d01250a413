"""Every text tower that the library knows against the model's own path, shrunk: bank, prompts, gradient.

`python -m tests.prompting.conformance` writes the table of docs/adapters.md and prints what was found.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from torch.nn.functional import normalize

from sar_reg import PromptEncoder
from sar_reg.bank import encode_templates
from sar_reg.files import write_atomic
from sar_reg.prompting import text_tower
from tests import ROOT
from tests.prompting import huggingface_model, local_tokenizers
from tests.prompting.models import NAMES, randomise

PAGE = ROOT / "docs" / "adapters.md"
BEGIN, END = "<!-- conformance: begin -->\n", "<!-- conformance: end -->\n"
SENTENCES = [f"a photo of a {name.replace('_', ' ')}." for name in NAMES]
TOKENIZERS = {
    "bert-base-uncased": "bert",
    "google/mt5": "mt5",
    "facebook/nllb": "nllb",
    "facebook/xlm": "xlm",
    "roberta": "roberta",
    "xlm-roberta": "xlm",
    "SigLIP-i18n": "mt5",
    "SigLIP2": "siglip2",
    "SigLIP": "siglip",
}
"""Part of the downloaded tokenizer's name, and the local one that frames texts the same way."""
CONFIGURATIONS = tuple(open_clip.list_models())  # before a test adds one of its own
FAMILIES = ("CLIPModel", "CLIPTextModelWithProjection", "SiglipModel", "Siglip2Model", "MetaClip2Model")
FAMILIES += ("AltCLIPModel", "ChineseCLIPModel")
"""Of transformers."""


@dataclass(frozen=True)
class Finding:
    """How far a model is from its own path: largest absolute differences in float64."""

    kind: str
    shared: bool
    why_not: str
    bank: float
    prompts: float
    gradient: float

    @property
    def exact(self) -> bool:
        """Equal up to rounding; a bank is float32."""
        return self.bank < 1e-6 and self.prompts < 1e-9 and self.gradient < 1e-9


@cache
def _root() -> Path:
    return Path(tempfile.mkdtemp(prefix="conformance-"))


def local_kind(name: str) -> str:
    """Which local tokenizer stands for a downloaded one."""
    return next(kind for part, kind in TOKENIZERS.items() if part in name)


def open_clip_setup(name: str) -> dict[str, Any]:
    """A configuration of open_clip with everything small that does not change how text is encoded."""
    config = deepcopy(open_clip.get_model_config(name))
    text = config["text_cfg"]
    text |= {"width": 32, "heads": 2, "layers": 2} if "hf_model_name" not in text else {}
    tokenizer = text.get("hf_tokenizer_name")
    if tokenizer:
        kind = local_kind(tokenizer)
        text["hf_tokenizer_name"] = kind
        if "hf_model_name" in text:
            text["hf_model_name"] = text["hf_model_name"].rpartition("/")[2].split("-")[0]
            text["hf_model_pretrained"] = False
        else:
            text["vocab_size"] = len(local_tokenizers.build(kind))
    else:
        text["vocab_size"] = max(49408, text["vocab_size"])
    vision = {"layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 32}
    setup: dict[str, Any] = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    setup |= {
        key: config[key] for key in ("quick_gelu", "init_logit_scale", "init_logit_bias") if key in config
    }
    if "multimodal_cfg" in config:
        small = {"width": 32, "heads": 2, "layers": 1, "mlp_ratio": 1}
        setup["multimodal_cfg"] = config["multimodal_cfg"] | small
    setup["class"] = "CoCa" if "multimodal_cfg" in config else "CustomTextCLIP"
    if setup["class"] == "CustomTextCLIP" and not (config.get("custom_text") or "hf_model_name" in text):
        setup["class"] = "CLIP"
    return setup


def build_open_clip(setup: dict[str, Any]) -> tuple[Any, Any]:
    """The model and its tokenizer."""
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP

    setup = deepcopy(setup)
    text, name = setup["text_cfg"], setup.pop("class")
    kind, length = text.get("hf_tokenizer_name"), text.get("context_length", 77)
    if "hf_model_name" in text:
        text["hf_model_name"] = str(_saved_config(text["hf_model_name"], kind))
    if kind:
        files = local_tokenizers.folder(kind, _root())
        tokenizer: Any = HFTokenizer(str(files), context_length=length, **text.get("tokenizer_kwargs", {}))
    else:
        tokenizer = open_clip.SimpleTokenizer(context_length=length, **text.get("tokenizer_kwargs", {}))
    setup["text_cfg"], setup["vision_cfg"] = CLIPTextCfg(**text), CLIPVisionCfg(**setup["vision_cfg"])
    model = {"CLIP": CLIP, "CustomTextCLIP": CustomTextCLIP, "CoCa": CoCa}[name](**setup)
    return randomise(model).double(), tokenizer


def _saved_config(name: str, kind: str) -> Path:
    """A small configuration of the transformers encoder that an open_clip model wraps."""
    import transformers as t

    tokens = len(local_tokenizers.build(kind))
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    roberta = size | {
        "vocab_size": tokens,
        "max_position_embeddings": 514,
        "pad_token_id": 1,
        "type_vocab_size": 1,
    }
    nllb = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    nllb |= {
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 32,
        "vocab_size": tokens,
        "scale_embedding": True,
    }
    mt5 = {"d_model": 32, "d_kv": 16, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": tokens}
    config = {
        "roberta": lambda: t.RobertaConfig(**roberta),
        "xlm": lambda: t.XLMRobertaConfig(**roberta),
        "nllb": lambda: t.M2M100Config(**nllb, pad_token_id=1),
        "mt5": lambda: t.MT5Config(**mt5, pad_token_id=0),
    }[name]()
    config.save_pretrained(_root() / f"model-{name}")
    return _root() / f"model-{name}"


def build_transformers(family: str) -> tuple[Any, Any]:
    """A small dual encoder of transformers and its tokenizer."""
    import transformers as t

    if family in ("CLIPModel", "CLIPTextModelWithProjection"):
        model = huggingface_model.clip_model()
        if family == "CLIPTextModelWithProjection":
            config = model.config.text_config
            config.projection_dim = 16
            model = randomise(t.CLIPTextModelWithProjection(config)).double()
        return model, huggingface_model.clip_tokenizer()
    kind = {"SiglipModel": "siglip", "Siglip2Model": "siglip2", "ChineseCLIPModel": "bert"}.get(family, "xlm")
    tokenizer = local_tokenizers.build(kind)
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = small | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    text |= {
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "projection_dim": 16,
    }
    if family.startswith("Siglip"):
        # as the tokenizers of these models do
        tokenizer.model_input_names, text["projection_size"] = ["input_ids"], 16
    text["max_position_embeddings"] = {"AltCLIPModel": 66, "ChineseCLIPModel": 64}.get(family, 64)
    if family == "AltCLIPModel":
        text |= {"project_dim": 16, "type_vocab_size": 1}
    vision = small | {"image_size": 16, "patch_size": 8}
    config = getattr(t, family.replace("Model", "Config"))(text_config=text, vision_config=vision)
    if hasattr(config, "projection_dim"):
        config.projection_dim = 16
    return randomise(getattr(t, family)(config)).double(), tokenizer


def _own(model: Any, tokenizer: Any, texts: list[str]) -> tuple[torch.Tensor, Any]:
    """Token ids, and a function from them to features, as the library's documentation has it."""
    if hasattr(model, "encode_text"):
        return tokenizer(texts), model.encode_text
    length = getattr(model.config, "text_config", model.config).max_position_embeddings
    inputs = tokenizer(texts, padding="max_length", max_length=min(length, 64), return_tensors="pt")
    mask = {key: value for key, value in inputs.items() if key == "attention_mask"}

    def encode(tokens: torch.Tensor) -> torch.Tensor:
        if not hasattr(model, "get_text_features"):
            return model(input_ids=tokens, **mask).text_embeds
        found = model.get_text_features(input_ids=tokens, **mask)
        return found if torch.is_tensor(found) else found.pooler_output

    return inputs["input_ids"], encode


def check(model: Any, tokenizer: Any) -> Finding:
    """Compare bank, prompts and gradient with the model's own path, prompts by a hook on its embedding."""
    tower = text_tower(model, tokenizer)
    tokens, encode = _own(model, tokenizer, SENTENCES)
    with torch.no_grad():
        own = encode(tokens)
    bank = encode_templates(tower, NAMES, ["a photo of a {}."])
    encoder = PromptEncoder(model, tokenizer, NAMES, n_ctx=4)

    start = int(tokens[0, 0] == tokens[1, 0] and _own(model, tokenizer, ["cat"])[0][0, 0] == tokens[0, 0])
    words = tower.token_table(tokens[0, start : start + 4]).detach()
    prompts = (encoder(words) - own).abs().max().item()

    context = torch.randn(4, words.shape[1], generator=torch.Generator().manual_seed(1), dtype=words.dtype)
    context.requires_grad_()
    hook = tower.token_table.register_forward_hook(
        lambda module, args, out: torch.cat(
            [out[:, :start], context.expand(len(out), -1, -1), out[:, start + 4 :]], dim=1
        )
    )
    expected = encode(tokens)
    hook.remove()
    weight = torch.linspace(-1, 1, own.numel(), dtype=own.dtype).view_as(own)
    ours = encoder(context)
    pulls = [torch.autograd.grad((features * weight).sum(), context)[0] for features in (ours, expected)]
    return Finding(
        kind=tower.kind,
        shared=encoder.tower.shareable,
        why_not=encoder.tower.why_not,
        bank=(bank.double() - normalize(own, dim=-1)).abs().max().item(),
        prompts=max(prompts, (ours - expected).abs().max().item()),
        gradient=((pulls[0] - pulls[1]).abs().max() / pulls[1].abs().max()).item(),
    )


@cache
def _of_setup(setup: str) -> Finding:
    return check(*build_open_clip(json.loads(setup)))


@cache
def finding(name: str) -> Finding:
    """Of a configuration of open_clip or a class of transformers; equal small models are compared once."""
    if name in FAMILIES:
        return check(*build_transformers(name))
    return _of_setup(json.dumps(open_clip_setup(name), sort_keys=True))


def table() -> str:
    """What was found, by kind of model."""
    names = [*CONFIGURATIONS, *FAMILIES]
    assert all(finding(name).exact for name in names)
    counts = Counter((finding(n).kind, finding(n).shared, finding(n).why_not) for n in names)
    lines = ["| model | configurations | bank, prompts, gradient | shared rows |", "|---|---|---|---|"]
    for (kind, shared, why_not), count in sorted(counts.items()):
        lines.append(f"| {kind} | {count} | equal | {'yes' if shared else f'no: {why_not}'} |")
    return "\n".join([*lines, "", f"Found with {versions()}."]) + "\n"


def versions() -> str:
    """Other versions may know other configurations."""
    return f"open_clip {version('open_clip_torch')} and transformers {version('transformers')}"


def page_with_table(page: str) -> str:
    """The page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def _lines() -> Iterator[str]:
    for name in [*CONFIGURATIONS, *FAMILIES]:
        yield f"{name}: {finding(name)}"


if __name__ == "__main__":
    write_atomic(PAGE, page_with_table(PAGE.read_text(encoding="utf-8")))
    print("\n".join(_lines()))
