"""From class names to an anchor bank: novel names, features, and what is kept between runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence, Set
from typing import Any

import torch

from sar_reg.bank.anchor_bank import AnchorBank, check_names
from sar_reg.bank.cache import BankCache, Names, names_file
from sar_reg.bank.encoding import encode_templates
from sar_reg.bank.templates import resolve_templates
from sar_reg.errors import InputError
from sar_reg.novel.same_name import KnownNames
from sar_reg.novel.source import DescribedSource, NovelSource, ResumableSource, outcome, preview
from sar_reg.prompting.towers import FunctionTower, TextTower, text_tower
from sar_reg.shapes import Int, Tensor
from sar_reg.version import __version__

log = logging.getLogger(__name__)


def build_anchor_bank(
    model: object,
    tokenizer: Callable[[list[str]], Int[Tensor, "texts context"]] | None,
    base_classes: Sequence[str],
    novel: Sequence[str] | NovelSource | None = None,
    n_novel: int = 200,
    templates: str | Sequence[str] = "imagenet",
    exclude: Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = False,
    *,
    offline: bool = False,
    dry_run: bool = False,
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
        exclude: names that must not be used as novel classes, such as a benchmark's held-out classes, in
            any spelling (plural, article, word order). They never enter a prompt of a language model.
        seed: passed to the source of novel classes.
        batch_size: texts encoded at a time.
        device: where the embeddings are kept; the model's device by default.
        cache_dir: folder that keeps the names of a source (JSON), the answers of a language model and the
            text features between calls, keyed by all that they depend on. Features of a bare function
            `encode(texts)` are not kept, since there are no weights to key them by.
        progress: show a progress line on the terminal.
        offline: never touch the network: a language model's names must be in `cache_dir` already. A source of
            your own without `with_cache` is called all the same.
        dry_run: print what a language model would be asked, an estimate of the tokens and the cache's key,
            ask nobody, and return the bank of the base classes alone.

    Returns:
        The bank: base classes first, then novel ones; embeddings (N, D) float32.

    Raises:
        InputError: for empty, repeated or too long names (named in the message), for bad templates, and for
            arguments of another kind.
        NovelClassesError: if the source has fewer names than asked for; it carries those.
    """
    if any(isinstance(names, str) for names in (base_classes, novel, exclude)):
        raise InputError("class names must be given as a sequence of strings, not as one string")
    if isinstance(base_classes, Set) or isinstance(novel, Set):
        raise InputError("class names need an order, and a set's changes from run to run; pass sorted(names)")
    if isinstance(novel, type):
        raise InputError(f"novel must be a source, not its class: write {novel.__name__}(...)")
    if not (novel is None or hasattr(novel, "generate") or hasattr(novel, "__iter__")):
        raise InputError(
            f"novel must be None, a sequence of names, or a source with .generate, not {type(novel).__name__}"
        )
    prompts = resolve_templates(templates)
    base = tuple(base_classes)
    if not base:
        raise InputError("base_classes is empty; pass the names of the classes that have training images")
    if type(n_novel) is not int or n_novel < 0:
        raise InputError(f"n_novel must be 0 or more, an int, not {n_novel!r}")
    check_names(base)
    tower = text_tower(model, tokenizer)
    cache = BankCache(cache_dir)
    chosen, provenance = _novel_names(novel, base, n_novel, exclude, seed, cache, offline, dry_run)
    names = base + chosen
    check_names(names)
    fingerprint = tower.fingerprint()

    def encode() -> Tensor:
        return encode_templates(tower, names, prompts, batch_size=batch_size, progress=progress)

    if isinstance(tower, FunctionTower):
        rows = encode()
    else:
        rows = cache.features(_features_depend_on(tower, fingerprint, prompts), names, encode)
    return AnchorBank(
        classnames=names,
        n_base=len(base),
        embeddings=rows.to(tower.device if device is None else device),
        temperature=tower.temperature,
        templates=prompts,
        fingerprint=fingerprint,
        provenance=provenance,
    )


def _novel_names(
    novel: Sequence[str] | NovelSource | None,
    base: tuple[str, ...],
    n: int,
    exclude: Sequence[str],
    seed: int,
    cache: BankCache,
    offline: bool,
    dry_run: bool,
) -> Names:
    if novel is None or n == 0:
        return (), {"source": "none"}
    if dry_run and not isinstance(novel, DescribedSource):
        print(f"{type(novel).__name__}: nobody is asked")
        return (), {"source": "dry run"}
    if not isinstance(novel, NovelSource):
        given = tuple(novel)
        kept = _without(given, exclude)
        dropped = {"excluded": len(given) - len(kept)}
        return kept[:n], {"source": "sequence", "outcome": outcome(len(given), len(kept[:n]), dropped)}
    source = novel.with_cache(cache.folder, offline=offline) if isinstance(novel, ResumableSource) else novel
    if not isinstance(source, DescribedSource):
        made = source.generate(base, n, exclude=exclude, seed=seed)
        return _without(made, exclude), {"source": type(source).__name__}
    settings = {key: value for key, value in source.describe().items() if key != "outcome"}
    wish = {"base": base, "n": n, "exclude": sorted(exclude), "seed": seed, "version": __version__}
    about = {"source": settings, **wish}
    if dry_run:
        print(preview(source, base, n, exclude=exclude, seed=seed))
        print(f"cached as: {names_file(about)}")
        return (), {"source": "dry run"}

    def ask() -> Names:
        made = source.generate(base, n, exclude=exclude, seed=seed)
        return _without(made, exclude), source.describe()

    return cache.names(about, ask, wanted=n)


def _without(names: Sequence[object], exclude: Sequence[str]) -> tuple[str, ...]:
    forbidden = KnownNames(exclude)
    strings: list[str] = []
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"novel class {name!r} is not a string; convert it with str()")
        strings.append(name)
    return tuple(name for name in strings if forbidden.match(name) is None)


def _features_depend_on(tower: TextTower, fingerprint: str, prompts: tuple[str, ...]) -> dict[str, Any]:
    """All that changes the features of a list of names."""
    return {
        "tower": fingerprint,
        "dtype": str(tower.dtype),
        "device": tower.device.type,
        "templates": prompts,
        "version": __version__,
    }
