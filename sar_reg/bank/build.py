"""From class names to an anchor bank: novel names, features, and what is cached between runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from sar_reg.bank.anchor_bank import AnchorBank
from sar_reg.bank.cache import BankCache
from sar_reg.bank.encoding import encode_templates
from sar_reg.bank.templates import DataSet, Template, resolve_templates
from sar_reg.checks import switch, whole_number
from sar_reg.class_names import name_tuple, refuse_repeats, spoken
from sar_reg.errors import InputError
from sar_reg.files import content_key
from sar_reg.novel.same_name import KnownNames
from sar_reg.novel.source import DescribedSource, NovelNames, NovelSource, ResumableSource, with_outcome
from sar_reg.prompting.towers import TextTower, text_tower
from sar_reg.prompting.verify import differs
from sar_reg.shapes import Int, Tensor
from sar_reg.version import __version__


def build_anchor_bank(
    model: object,
    tokenizer: Callable[[list[str]], Int[Tensor, "texts context"]] | None,
    base_classes: Sequence[str],
    *,
    novel: Sequence[str] | NovelSource | None = None,
    n_novel: int = 200,
    templates: DataSet | Iterable[Template] = "imagenet",
    exclude: Iterable[str] = (),
    seed: int = 0,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = False,
    offline: bool = False,
    allow_repeated: bool = False,
) -> AnchorBank:
    """Encode base and novel class names once with an ensemble of handcrafted prompts.

    Each row is `T_i = n( Σ_m n( E(template_m(name_i)) ) )` with `n(x) = x / ‖x‖` (the paper, section 3.3).

    Args:
        model: an open_clip `CLIP` or `CustomTextCLIP`, or another model that `sar_reg.prompting` knows.
            It is used on its own device and dtype, outside autocast, and left unchanged.
        tokenizer: `list[str] -> LongTensor (texts, context)`, such as `open_clip.get_tokenizer(...)`.
        base_classes: the classes that have training images, in the order of their labels.
        novel: `None` (no novel classes), a sequence of names (at most `n_novel` are taken, in order),
            or a source of `sar_reg.novel` that is asked for `n_novel` names.
        n_novel: how many novel classes are wanted, 0 or more.
        templates: a data set's key of the paper (eight templates), or templates with `{}`.
        exclude: names that must not be used as novel classes, such as a benchmark's new classes, in
            any spelling (plural, article, word order). They never enter a prompt of a language model.
        seed: passed to the source of novel classes.
        batch_size: texts encoded at a time, 1 or more.
        device: where the embeddings are kept; the model's device by default.
        cache_dir: folder that keeps the names of a source (JSON), the replies of a language model and the
            bank between calls, each under a key of all that it depends on. The bank of a function
            `encode(texts)` is not kept, since there are no weights to key it by.
        progress: show a progress line on the terminal.
        offline: never touch the network: a language model's names must be in `cache_dir` already. A source of
            your own without `with_cache` is called all the same.
        allow_repeated: accept base classes of one name (see `AnchorBank`).

    Returns:
        The bank: base classes first, then novel ones; embeddings (N, D) float32.

    Raises:
        InputError: for empty, repeated or too long names (named in the message), two names that are the same to
            the tokenizer, bad templates, and arguments of another type.
        NovelClassesError: if the source has fewer names than asked for; it carries those.

    Cost: one pass of the text tower over N × M prompts, for N classes and M templates.
    """
    base = name_tuple(base_classes, "base_classes")
    if not base:
        raise InputError("base_classes is empty; pass the names of the classes that have training images")
    refuse_repeats(base, len(base), allow_repeated=switch(allow_repeated, "allow_repeated"))
    prompts = resolve_templates(templates)
    wanted, seed = whole_number(n_novel, "n_novel"), whole_number(seed, "seed")
    size = whole_number(batch_size, "batch_size", least=1)
    excluded = name_tuple(exclude, "exclude", ordered=False)
    _check_novel(novel)
    tower = text_tower(model, tokenizer)
    cache = BankCache(cache_dir)
    if novel is None or wanted == 0:
        found = NovelNames((), {"source": "none"})
    elif isinstance(novel, NovelSource):
        found = _ask(novel, base, wanted, excluded, seed, cache, offline)
    else:
        found = _take(novel, wanted, excluded)
    names = base + found.names
    refuse_repeats(names, len(base), allow_repeated=allow_repeated)
    about: dict[str, Any] = {
        "classnames": names,
        "n_base": len(base),
        "temperature": tower.temperature,
        "templates": prompts,
        "fingerprint": tower.fingerprint(),
        "allow_repeated": allow_repeated,
    }

    def encode() -> AnchorBank:
        each = {name: row for row, name in enumerate(dict.fromkeys(names))}
        rows = encode_templates(tower, tuple(each), prompts, batch_size=size, progress=progress)
        return AnchorBank(embeddings=rows[[each[name] for name in names]], **about)

    def fits(bank: AnchorBank) -> bool:
        # hooks, settings and code of a model are not in the key
        few = {names[row]: row for row in (-1, 0)}
        rows = encode_templates(tower, tuple(few), prompts, batch_size=size)
        return isinstance(tower, TextTower) and not differs(rows, bank.embeddings[[*few.values()]], tower)

    if isinstance(tower, TextTower) and cache.folder:
        bank = cache.bank({**about, **_tokens_and_numbers(tower, names, prompts)}, encode, fits)
    else:
        bank = encode()
    return replace(bank.to(tower.device if device is None else device), provenance=found.provenance)


def _check_novel(novel: object) -> None:
    if isinstance(novel, type):
        raise InputError(f"novel must be a source, not its class: write {novel.__name__}(...)")
    if not (novel is None or isinstance(novel, NovelSource | Iterable)):
        raise InputError(
            f"novel must be None, a list of names, or a source with .generate, not {type(novel).__name__}"
        )


def _take(novel: Sequence[str], n: int, exclude: tuple[str, ...]) -> NovelNames:
    """The first `n` names of a list."""
    given = name_tuple(novel, "novel")
    kept = _without(given, exclude)
    dropped = {"excluded": len(given) - len(kept)}
    return with_outcome(kept[:n], len(given), dropped, {"source": "sequence"})


def _ask(
    novel: NovelSource,
    base: tuple[str, ...],
    n: int,
    exclude: tuple[str, ...],
    seed: int,
    cache: BankCache,
    offline: bool,
) -> NovelNames:
    """`n` names of a source, from the cache where the source states what they depend on."""
    source = novel.with_cache(cache.folder, offline=offline) if isinstance(novel, ResumableSource) else novel

    def ask() -> NovelNames:
        made = source.generate(base, n, exclude=exclude, seed=seed)
        about = made.provenance if isinstance(made, NovelNames) else {"source": type(source).__name__}
        return NovelNames(_without(name_tuple(made, f"what {source!r} returned"), exclude), about)

    if not isinstance(source, DescribedSource):
        return ask()
    wish = {"base": base, "n": n, "exclude": sorted(exclude), "seed": seed, "version": __version__}
    return cache.names({"source": source.describe(), **wish}, ask, wanted=n)


def _without(names: tuple[str, ...], exclude: tuple[str, ...]) -> tuple[str, ...]:
    forbidden = KnownNames(exclude)
    return tuple(name for name in names if forbidden.match(name) is None)


def _tokens_and_numbers(tower: TextTower, names: tuple[str, ...], prompts: tuple[str, ...]) -> dict[str, str]:
    """What changes the features of a bank and is not in it; the tokenizer through the ids that it returns."""
    texts = [prompts[0].replace("{}", spoken(name)) for name in names]
    texts += [prompt.replace("{}", spoken(names[0])) for prompt in prompts]
    return {
        "tokens": content_key(ids=tower.tokenize(texts).tolist()),
        "dtype": str(tower.dtype),
        "device": tower.device.type,
        "version": __version__,
    }
