"""From class names to an anchor bank: novel names, features, and what is cached between runs."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from sar_reg.bank.anchor_bank import AnchorBank
from sar_reg.bank.cache import BankCache
from sar_reg.bank.encoding import encode_templates
from sar_reg.bank.templates import DataSet, Template, resolve_templates
from sar_reg.checks import switch, whole_number
from sar_reg.class_names import name_tuple, refuse_repeats, spoken
from sar_reg.errors import InputError, counted
from sar_reg.files import content_key
from sar_reg.novel.same_name import KnownNames
from sar_reg.novel.source import (
    DescribedSource,
    NovelClassesError,
    NovelNames,
    NovelSource,
    ResumableSource,
    with_outcome,
)
from sar_reg.prompting.towers import TextTower, text_tower
from sar_reg.prompting.verify import differs
from sar_reg.shapes import Int, Tensor
from sar_reg.version import __version__

_FROM_A_SOURCE = 200  # novel classes by default, as in the paper


def build_anchor_bank(
    model: object,
    tokenizer: Callable[[list[str]], Int[Tensor, "texts context"]] | None,
    base_classes: Sequence[str],
    *,
    novel: Sequence[str] | NovelSource | None = None,
    n_novel: int | None = None,
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
        novel: `None` (no novel classes), a sequence of names (the first `n_novel` are taken), or a source such as
            those of `sar_reg.novel`.
        n_novel: number of novel classes, 0 or more; by default all names of a sequence, or 200 of a source.
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
        NovelClassesError: if the sequence or the source has fewer names than `n_novel`; it carries those. A source
            that returns a `NovelNames` states its own number, which may be another one.

    Cost: one pass of the text tower over N × M prompts, for N classes and M templates.
    """
    base = name_tuple(base_classes, "base_classes")
    if not base:
        raise InputError("base_classes is empty; pass the names of the classes that have training images")
    refuse_repeats(base, len(base), allow_repeated=switch(allow_repeated, "allow_repeated"))
    prompts = resolve_templates(templates)
    if n_novel is not None:
        n_novel = whole_number(n_novel, "n_novel")
    seed, size = whole_number(seed, "seed"), whole_number(batch_size, "batch_size", least=1)
    excluded = name_tuple(exclude, "exclude", ordered=False)
    progress, offline = switch(progress, "progress"), switch(offline, "offline")
    _check_novel(novel, n_novel)
    tower = text_tower(model, tokenizer)
    cache = BankCache(cache_dir)
    if novel is None or n_novel == 0:
        found = NovelNames((), {"source": "none"})
    elif isinstance(novel, NovelSource):
        found = _ask(
            novel, base, _FROM_A_SOURCE if n_novel is None else n_novel, excluded, seed, cache, offline
        )
    else:
        found = _take(novel, n_novel, excluded)
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
        if any(getattr(bank, key) != value for key, value in about.items()):
            return False  # another bank under this name
        # hooks, settings and code of a model are not in the key
        few = {names[row]: row for row in (-1, 0)}
        rows = encode_templates(tower, tuple(few), prompts, batch_size=size)
        return not differs(bank.embeddings[[*few.values()]], rows, tower.dtype)

    if isinstance(tower, TextTower) and cache.folder:
        bank = cache.bank({**about, **_tokens_and_numbers(tower, names, prompts)}, encode, fits)
    else:
        bank = encode()
    return replace(bank.to(tower.device if device is None else device), provenance=found.provenance)


def _check_novel(novel: object, n_novel: int | None) -> None:
    if novel is None and n_novel:
        raise InputError(
            f"n_novel={n_novel} needs novel=: pass a list of names or a source, such as WordNetClasses()"
        )
    if isinstance(novel, type):
        raise InputError(f"novel must be a source, not its class: write {novel.__name__}(...)")
    if not (novel is None or isinstance(novel, NovelSource | Iterable)):
        raise InputError(
            f"novel must be None, a list of names, or a source with .generate, not {type(novel).__name__}"
        )
    if isinstance(novel, NovelSource):
        try:
            with suppress(ValueError):  # some functions that are not written in Python have no signature
                inspect.signature(novel.generate).bind((), 1, exclude=(), seed=0)
        except TypeError as error:
            raise InputError(
                f"{type(novel).__name__}.generate must accept (base_classes, n, *, exclude, seed): {error}"
            ) from error


def _take(novel: Sequence[str], n: int | None, exclude: tuple[str, ...]) -> NovelNames:
    """The first `n` names of a list."""
    given = name_tuple(novel, "novel")
    kept = _without(given, exclude)
    dropped = {"excluded": len(given) - len(kept)}
    names = kept if n is None else _first(kept, n, f"novel= (dropped: {dropped})")
    return with_outcome(names, len(given), dropped, {"source": "sequence"})


def _ask(
    novel: NovelSource,
    base: tuple[str, ...],
    n: int,
    exclude: tuple[str, ...],
    seed: int,
    cache: BankCache,
    offline: bool,
) -> NovelNames:
    """`n` names of a source, from the cache if the source states what they depend on."""
    source = novel.with_cache(cache.folder, offline=offline) if isinstance(novel, ResumableSource) else novel

    def ask() -> NovelNames:
        made = source.generate(base, n, exclude=exclude, seed=seed)
        names, origin = (
            _without(name_tuple(made, f"what {source!r} returned"), exclude),
            type(source).__name__,
        )
        if not isinstance(made, NovelNames):
            return NovelNames(_first(names, n, origin), {"source": origin})
        if len(names) == len(made):
            return made
        outcome = {**made.provenance.get("outcome", {}), "kept": n}  # it returned excluded names
        return NovelNames(_first(names, n, origin), {**made.provenance, "outcome": outcome})

    if not isinstance(source, DescribedSource):
        return ask()
    wish = {"base": base, "n": n, "exclude": sorted(exclude), "seed": seed, "version": __version__}
    return cache.names({"source": source.describe(), **wish}, ask, wanted=n)


def _first(names: tuple[str, ...], n: int, origin: str) -> tuple[str, ...]:
    if len(names) < n:
        raise NovelClassesError(
            f"asked for {counted(n, 'novel class')}, but {origin} has {len(names)} that may be used",
            names,
            "add names, or ask for fewer with n_novel=",
        )
    return names[:n]


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
