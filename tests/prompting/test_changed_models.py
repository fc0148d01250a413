"""Whatever a user has changed in a model, the features are those of its own `encode_text`."""

from __future__ import annotations

import gc
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import peft
import pytest
import torch
from open_clip.model import CLIP
from open_clip.transformer import ResidualAttentionBlock
from torch import nn
from torch.optim.swa_utils import AveragedModel

from sar_reg import PromptEncoder
from sar_reg.bank import encode_templates
from sar_reg.errors import InputError
from sar_reg.prompting import text_tower
from tests.prompting.models import BLOCKS, NAMES, WIDTH, clip, learnable, randomise
from tests.prompting.official import pulled
from tests.prompting.openai_model import OpenAICLIP

SENTENCES = [f"a photo of a {name.replace('_', ' ')}." for name in NAMES]


class LoRA(nn.Module):
    """A low-rank addition to a linear layer, by hand."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.a = nn.Parameter(0.3 * torch.ones(2, base.in_features, dtype=torch.float64))
        self.b = nn.Parameter(0.3 * torch.ones(base.out_features, 2, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The base layer and the addition."""
        return self.base(x) + x @ self.a.T @ self.b.T


class Scaled(nn.Embedding):
    """An embedding with a forward of its own, as nllb has."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Twice the vectors."""
        return 2 * super().forward(tokens)


class Adapted(CLIP):
    """A subclass with its own `encode_text`: different for long texts only."""

    def encode_text(self, text: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        """Longer texts get longer features."""
        return super().encode_text(text, normalize) * (1 + (text > 0).sum(dim=1, keepdim=True))


class PositionTables(OpenAICLIP):
    """More positions beyond the first ones, as Long-CLIP has."""

    def encode_text(self, text: torch.Tensor) -> torch.Tensor:
        """A second table is used from row 6 on."""
        beyond = (torch.arange(77) >= 6)[:, None]
        x = self.token_embedding(text) + torch.where(
            beyond, self.positional_embedding.flip(0), self.positional_embedding
        )
        x = self.ln_final(self.transformer(x.permute(1, 0, 2)).permute(1, 0, 2))
        return x[torch.arange(len(x)), text.argmax(dim=-1)] @ self.text_projection


def _hook(module: nn.Module) -> None:
    def double(module: nn.Module, args: Any, out: Any) -> Any:
        return (out[0] * 2, *out[1:]) if isinstance(out, tuple) else out * 2

    module.register_forward_hook(double)


def _patched(model: Any) -> None:
    block = model.transformer.resblocks[2]
    original = block.forward
    block.forward = lambda *args, **kwargs: original(*args, **kwargs) * 1.3


def _patched_method(model: Any) -> None:
    block = model.transformer.resblocks[2]
    block.forward = types.MethodType(lambda self, x, *args, **kwargs: x + self.mlp(self.ln_2(x)), block)


def _embedding(model: Any) -> None:
    scaled = Scaled(*model.token_embedding.weight.shape, dtype=torch.float64)
    scaled.weight = model.token_embedding.weight
    model.token_embedding = scaled


def _lora(part: str) -> Callable[[Any], None]:
    def put(model: Any) -> None:
        parent = model.transformer.resblocks[1].get_submodule(part.rpartition(".")[0])
        name = part.rpartition(".")[2]
        setattr(parent, name, LoRA(getattr(parent, name)))

    return put


def _parametrised(model: Any) -> None:
    nn.utils.parametrizations.weight_norm(model.transformer.resblocks[0].mlp.c_fc)
    with torch.no_grad():
        model.transformer.resblocks[0].mlp.c_fc.parametrizations.weight.original0.mul_(1.5)


def _forward_of_a_class(model: Any) -> None:
    model.transformer.resblocks[1].mlp.gelu = nn.Tanh()


CHANGES: dict[str, Callable[[Any], None]] = {
    "hook on a block": lambda model: _hook(model.transformer.resblocks[1]),
    "hook on attention": lambda model: _hook(model.transformer.resblocks[1].attn),
    "hook on a norm": lambda model: _hook(model.transformer.resblocks[1].ln_2),
    "hook on the embedding": lambda model: _hook(model.token_embedding),
    "hook on the transformer": lambda model: _hook(model.transformer),
    "patched forward of a block": _patched,
    "patched method of a block": _patched_method,
    "embedding with a forward of its own": _embedding,
    "LoRA in the perceptron": _lora("mlp.c_fc"),
    "parametrised weight": _parametrised,
    "another activation": _forward_of_a_class,
}
SEEN = {
    name for name in CHANGES if "hook" in name or "patched" in name or "embedding" in name or "LoRA" in name
}
"""Changes after which nothing may be shared."""


def _check(model: Any, encoder: PromptEncoder, tokenize: Any = open_clip.tokenize) -> None:
    """Bank, prompts and gradient against the model's own path."""
    with torch.no_grad():
        own = model.encode_text(tokenize(SENTENCES))
    context = learnable(4, WIDTH)
    ours, plain = (pulled(encode(context), context) for encode in (encoder, encoder.encode_plain))
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)
    words = encoder.tower.embed(tokenize("a photo of a")[0, 1:5])
    torch.testing.assert_close(encoder(words), own, atol=1e-10, rtol=1e-10)
    bank = encode_templates(text_tower(model, tokenize), NAMES, ["a photo of a {}."])
    torch.testing.assert_close(bank.double(), nn.functional.normalize(own, dim=-1), atol=1e-6, rtol=0)
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_change_before_or_after_the_encoder_was_made_counts(change: str, when: str) -> None:
    model = clip()
    if when == "before":
        CHANGES[change](model)
    encoder = PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4)
    if when == "after":
        CHANGES[change](model)
    _check(model, encoder)
    if change in SEEN:
        assert "no sharing, full length: the model was changed: " in repr(encoder)


@pytest.mark.parametrize("class_position", ["middle", "front"])
def test_a_changed_model_still_puts_names_in_other_places(class_position: Any) -> None:
    model, changed = clip(), clip()
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4, class_position=class_position)
    changed.transformer.resblocks[1].register_forward_hook(lambda *args: None)
    other = PromptEncoder(changed, None, NAMES, n_ctx=4, class_position=class_position)
    context = learnable(4, WIDTH)
    assert not other.tower.shareable
    torch.testing.assert_close(other(context), encoder(context), atol=1e-10, rtol=1e-10)


def test_low_rank_weights_in_attention_that_the_model_ignores_are_ignored() -> None:
    # nn.MultiheadAttention reads out_proj.weight and never calls the layer
    model = clip()
    attention = model.transformer.resblocks[1].attn
    attention.out_proj.register_forward_hook(lambda module, args, out: out * 7)
    _check(model, PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4))


def test_a_subclass_with_its_own_encode_text_is_called() -> None:
    model = clip()
    model.__class__ = Adapted
    encoder = PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4)
    _check(model, encoder)
    assert "the model was changed: Adapted.encode_text is not the library's" in repr(encoder)


def test_extra_position_tables_are_found_by_comparing() -> None:
    model = randomise(PositionTables(WIDTH, BLOCKS, 2, 16)).double()
    encoder = PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4)
    _check(model, encoder)
    assert "its features differ from those of a CLIP with these weights" in repr(encoder)


@pytest.mark.parametrize("target", ["c_fc", "token_embedding", "out_proj"])
def test_adapters_of_peft(target: str) -> None:
    model = clip(dtype=torch.float32)
    config = peft.LoraConfig(target_modules=[target], r=2, init_lora_weights=False)
    wrapped = peft.get_peft_model(model, config).double().eval()
    encoder = PromptEncoder(wrapped, open_clip.tokenize, NAMES, n_ctx=4)
    _check(model, encoder)
    merged = wrapped.merge_and_unload()
    _check(merged, PromptEncoder(merged, open_clip.tokenize, NAMES, n_ctx=4))


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, AveragedModel, lambda model: torch.compile(model, backend="eager")]
)
def test_wrappers_are_taken_off(wrap: Any) -> None:
    model = clip()
    encoder = PromptEncoder(wrap(model), open_clip.tokenize, NAMES, n_ctx=4)
    assert encoder.tower.model is model or wrap is AveragedModel  # which holds a copy
    _check(model, encoder)


def test_a_hook_on_all_modules_is_noticed() -> None:
    model = clip()
    encoder = PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4)
    context = encoder.context_from_words("a photo of a")
    before = encoder(context)
    larger = nn.modules.module.register_module_forward_hook(
        lambda module, _, output: 1.1 * output if isinstance(module, nn.Linear) else None
    )
    try:
        with_hook = encoder(context)
        torch.testing.assert_close(with_hook, encoder.encode_plain(context), rtol=0, atol=1e-10)
        assert (with_hook - before).abs().max() > 0.01
    finally:
        larger.remove()
    torch.testing.assert_close(encoder(context), before, rtol=0, atol=1e-10)


def _one_head(model: Any) -> None:
    attention = model.transformer.resblocks[0].attn
    attention.num_heads, attention.head_dim = 1, WIDTH


def _new_method(model: Any) -> None:
    block = model.transformer.resblocks[1]
    attention = block.attention
    block.attention = lambda *args, **kwargs: attention(*args, **kwargs) * 2


SETTINGS: dict[str, Callable[[Any], object]] = {
    "heads": _one_head,
    "method of a block": _new_method,
    "mask": lambda model: setattr(model, "attn_mask", torch.zeros_like(model.attn_mask)),
    "mask in place": lambda model: model.attn_mask.zero_(),
    "row that is read": lambda model: setattr(model, "text_pool_type", "last"),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_changed_later_is_noticed(setting: str) -> None:
    model = clip()
    encoder = PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4)
    context = encoder.context_from_words("a photo of a")
    before = encoder(context)
    SETTINGS[setting](model)
    after = encoder(context)
    torch.testing.assert_close(after, encoder.encode_plain(context), rtol=0, atol=1e-10)
    assert (after - before).abs().max() > 0.01


def test_a_method_changed_for_all_blocks_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = clip()
    encoder = PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4)
    attention = ResidualAttentionBlock.attention
    monkeypatch.setattr(
        ResidualAttentionBlock, "attention", lambda *args, **more: attention(*args, **more) * 2
    )
    _check(model, encoder)


def test_a_mask_that_is_an_attribute_is_watched() -> None:
    model = randomise(OpenAICLIP(WIDTH, BLOCKS, 2, 16)).double()
    encoder = PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4)
    blocks = model.transformer.resblocks
    blocks[1].attn_mask.zero_()
    _check(model, encoder)
    blocks[2].attn_mask = torch.ones_like(blocks[2].attn_mask)
    _check(model, encoder)


def test_an_embedding_swapped_in_a_model_that_shares_nothing_is_followed() -> None:
    model = clip(no_causal_mask=True)
    encoder = PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4)
    model.token_embedding = randomise(nn.Embedding(49408, WIDTH), seed=5).double()
    _check(model, encoder)


def test_a_distributed_model_is_taken_out(tmp_path: Path) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1
    )
    try:
        model = clip()
        wrapped = nn.parallel.DistributedDataParallel(model)
        encoder = PromptEncoder(wrapped, open_clip.tokenize, NAMES, n_ctx=4)
        assert encoder.tower.model is model
        _check(model, encoder)
    finally:
        wrapped = None
        gc.collect()  # gloo's threads would outlive the group
        torch.distributed.destroy_process_group()


def test_dropout_in_training_is_refused() -> None:
    model = clip()
    model.transformer.resblocks[0].mlp.gelu = nn.Sequential(nn.GELU(), nn.Dropout(0.5))
    model.train()
    with pytest.raises(InputError, match=r"as dropout does in training mode: call model\.eval\(\) first$"):
        PromptEncoder(model, None, NAMES, n_ctx=4)
    _check(model.eval(), PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4))


def test_a_compiled_caller_follows_a_change_as_the_docstring_says() -> None:
    model, context = clip(), learnable(4, WIDTH)
    encoder = PromptEncoder(model, open_clip.tokenize, NAMES, n_ctx=4)
    compiled = torch.compile(encoder, backend="eager")
    before = compiled(context)
    model.ln_final.weight.data.mul_(2)
    torch.testing.assert_close(compiled(context), encoder(context))
    _hook(model.transformer.resblocks[1])
    expected = encoder(context)
    torch.compiler.reset()
    torch.testing.assert_close(compiled(context), expected)
    assert (expected - before).abs().max() > 0.01
