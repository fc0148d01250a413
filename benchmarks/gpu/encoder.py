"""The prompt encoder, the whole CoOp step, the bank and a profile on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.gpu.bench import Bench
from sar_reg import AnchorBank, PromptEncoder, SimilarityAlignmentLoss
from sar_reg.bank import encode_templates, resolve_templates
from sar_reg.prompting import text_tower
from sar_reg.prompting.prefix.plan import Layout
from sar_reg.sampled_kl.validation import Sampling

Dtype = torch.dtype


def model(bench: Bench, dtype: Dtype) -> Any:
    """ViT-B/16 with QuickGELU and random weights; a small one in a dry run."""
    import open_clip
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    if bench.dry:
        vision = CLIPVisionCfg(layers=2, width=64, image_size=32)
        clip: Any = CLIP(32, vision, CLIPTextCfg(width=32, heads=2, layers=2), quick_gelu=True)
    else:
        clip = open_clip.create_model("ViT-B-16-quickgelu", pretrained=None)
    return clip.eval().requires_grad_(False).to(bench.device, dtype)


def names(count: int) -> list[str]:
    """ImageNet's names, then pairs of neighbours."""
    import open_clip

    base = list(open_clip.IMAGENET_CLASSNAMES)
    more = [f"{a} {b}" for a, b in pairwise(base)]
    return (base + more + [f"{a} with {b}" for a in base[:20] for b in base])[:count]


def official(clip: Any, tokens: Tensor, length: int, context: Tensor) -> Tensor:
    """CoOp's text encoder: rows up to `length` of every prompt (77: all), by the model's own blocks."""
    words = clip.token_embedding(tokens[:, :length])
    learned = context.to(words.dtype).expand(len(words), -1, -1)
    x = torch.cat([words[:, :1], learned, words[:, 1 + len(context) :]], dim=1)
    x = x + clip.positional_embedding[:length].to(x.dtype)
    mask = clip.attn_mask[:length, :length].to(x.dtype)
    for block in clip.transformer.resblocks:
        x = block(x, attn_mask=mask)
    return clip.ln_final(x[torch.arange(len(x), device=x.device), tokens.argmax(-1)]) @ clip.text_projection


def correctness(bench: Bench) -> dict[str, Any]:
    """Features and gradient against float64: at most twice the error of the model's own encoding, and rounding."""
    exact_model = model(bench, torch.float64)
    settings: dict[str, Any] = {"n_ctx": 4}
    exact = PromptEncoder(exact_model, None, names(24), **settings)
    context = exact.random_context().to(bench.device, torch.float64).requires_grad_()
    truth = exact.encode_plain(context)
    pull = torch.randn_like(truth)
    (true_gradient,) = torch.autograd.grad((truth * pull).sum(), context)
    failed: list[Any] = []
    errors: dict[str, Any] = {}
    for label, dtype, autocast in (
        ("float32", torch.float32, False), ("float16", torch.float16, False), ("bfloat16 autocast", torch.float32, True)
    ):  # fmt: skip
        clip = model(bench, dtype)

        def both(encode: Callable[[Tensor], Tensor], autocast: bool = autocast) -> list[float]:
            x = context.detach().float().requires_grad_()
            with torch.autocast(bench.device.type, torch.bfloat16) if autocast else nullcontext():
                features = encode(x)
            (gradient,) = torch.autograd.grad((features.double() * pull).sum(), x)
            return [_relative(features, truth), _relative(gradient, true_gradient)]

        plain = both(PromptEncoder(clip, None, names(24), **settings).encode_plain)
        floor = torch.finfo(torch.bfloat16 if autocast else dtype).eps
        ways: dict[str, dict[str, Any]] = {
            "grouped": {"layout": "grouped"},
            "packed": {"layout": "packed"},
            **({"packed, cuda_graph": {"cuda_graph": True, "layout": "packed"}} if bench.graphs else {}),
        }
        for way, options in ways.items():
            encoder = PromptEncoder(clip, None, names(24), **settings, **options)
            if "cuda_graph" in options:  # captured with other values than those that are checked
                both(lambda x, encoder=encoder: encoder(x + 1))
            found = both(encoder)
            errors[f"{label}, {way}"] = {"error": found, "the model's own": plain}
            if not all(ours <= 2 * usual + 4 * floor for ours, usual in zip(found, plain, strict=True)):
                failed.append(f"{label}, {way}")
    return {"checks": len(errors), "failed": failed, "errors": errors}


def _relative(found: Tensor, exact: Tensor) -> float:
    return ((found.double() - exact).norm() / exact.norm()).item()


def timing(bench: Bench) -> dict[str, Any]:
    """Forward and backward for all ways and numbers of classes; a graph of each stands in its row."""
    rows: dict[str, Any] = {}
    half, single = model(bench, torch.float32 if bench.dry else torch.float16), model(bench, torch.float32)
    for count in (8,) if bench.dry else (100, 300, 500, 700, 1000, 1200):
        encoder = partial(PromptEncoder, tokenizer=None, classnames=names(count), n_ctx=4)
        grouped, packed = encoder(half, layout="grouped"), encoder(half, layout="packed")
        autocast = encoder(single, layout="packed")
        context = packed.random_context().requires_grad_()
        replayed: dict[str, tuple[Callable[..., Tensor], bool]] = {}
        if bench.graphs:
            graphed = PromptEncoder(half, None, names(count), n_ctx=4, layout="packed", cuda_graph=True)
            replayed["packed, cuda_graph"] = (partial(graphed, context), False)
        ways: dict[str, tuple[Callable[..., Tensor], bool]] = {
            "grouped": (partial(grouped, context), False),
            "packed": (partial(packed, context), False),
            "packed, bf16 autocast": (partial(autocast, context), True),
        }
        if count <= 1000:
            ways["official, 77 rows"] = (partial(official, half, packed.tokens, 77, context), False)
            ways["official, bf16 autocast"] = (partial(official, single, packed.tokens, 77, context), True)
        longest = -(-(int(packed.tokens.argmax(-1).max()) + 1) // 8) * 8
        ways[f"cropped to {longest} rows"] = (partial(official, half, packed.tokens, longest, context), False)
        for way, (encode, low) in (ways | replayed).items():
            run = partial(_forward_and_backward, encode, context, bench.device.type, low)
            rows[f"encoder, {way}, {count} classes"] = bench.timed(run, graph=way not in replayed)
        rows[f"rows, {count} classes"] = {
            "packed": packed.count_tokens()._asdict(), "grouped": grouped.count_tokens()._asdict()
        }  # fmt: skip
    return rows


def _forward_and_backward(
    encode: Callable[[], Tensor], context: Tensor, device: str, autocast: bool
) -> tuple[Tensor, ...]:
    # the cache of casts would tie a captured graph to tensors that live no longer
    with torch.autocast(device, torch.bfloat16, enabled=autocast, cache_enabled=False):
        features = encode()
    return torch.autograd.grad(features.float().sum(), context)


def step_timing(bench: Bench) -> dict[str, Any]:
    """CoOp's whole step: 32 images through the frozen tower, text, cross-entropy, SAR, backward, SGD (Table 2)."""
    rows: dict[str, Any] = {}
    clip = model(bench, torch.float32 if bench.dry else torch.float16)
    side = 32 if bench.dry else 224
    images = torch.randn(
        2 if bench.dry else 32, 3, side, side, device=bench.device, dtype=clip.visual.proj.dtype
    )
    ways: tuple[tuple[str, int, Sampling | None], ...] = (
        ("official", 0, None), ("official", 50, "independent"), ("official", 200, "independent"),
        ("ours", 0, None), ("ours", 50, "independent"), ("ours", 200, "independent"), ("ours", 200, "ring"),
    )  # fmt: skip
    for base in (4,) if bench.dry else (100, 500, 1000):
        for way, novel, sampling in ways:
            step = _whole_step(clip, images, base, min(novel, 4) if bench.dry else novel, way, sampling)
            rows[f"step, {way}, {base} + {novel}, {sampling or 'without SAR'}"] = bench.timed(step, 0.6)
        captured: tuple[tuple[int, Sampling | None], ...] = ((0, None), (200, "independent"))
        for novel, sampling in captured if bench.graphs else ():
            step = _example_step(clip, images, base, min(novel, 4) if bench.dry else novel, sampling)
            name = f"step, examples.coop --cuda-graph, {base} + {novel}, {sampling or 'without SAR'}"
            rows[name] = bench.timed(step, 0.6, graph=False)
    with torch.no_grad():
        rows["image tower alone"] = bench.timed(lambda: clip.encode_image(images), 0.2)
    return rows


def _whole_step(
    clip: Any, images: Tensor, base: int, novel: int, way: str, sampling: Sampling | None
) -> Callable[[], None]:
    count, device = base + novel, images.device
    encoder = PromptEncoder(clip, None, names(count), n_ctx=4, layout="packed" if way == "ours" else "auto")
    context = nn.Parameter(encoder.random_context())
    optimizer = torch.optim.SGD([context], lr=1e-4, momentum=0.9)
    labels = torch.randint(0, base, (len(images),), device=device)
    sar = _sar(count, encoder.tower.embed_dim, sampling, device)
    tokens = encoder.tokens

    def step() -> None:
        optimizer.zero_grad(set_to_none=False)
        text = encoder(context) if way == "ours" else official(clip, tokens, 77, context)
        with torch.no_grad():
            seen = F.normalize(clip.encode_image(images).float(), dim=-1)
        logits = 100 * seen @ F.normalize(text[:base].float(), dim=-1).T
        loss = F.cross_entropy(logits, labels)
        if sar is not None:
            loss = loss + 0.1 * sar(text)
        loss.backward()
        optimizer.step()

    return step


def _sar(
    count: int, width: int, sampling: Sampling | None, device: torch.device
) -> SimilarityAlignmentLoss | None:
    if sampling is None:
        return None
    target = F.normalize(torch.randn(count, width, device=device), dim=-1)
    bank = AnchorBank(tuple(map(str, range(count))), count, target, temperature=0.01)
    return SimilarityAlignmentLoss(bank, 64, sampling=sampling).to(device)


def _example_step(
    clip: Any, images: Tensor, base: int, novel: int, sampling: Sampling | None
) -> Callable[[], Any]:
    """The same step as the examples run it with --cuda-graph."""
    import open_clip

    from examples.coop.method import CoOp
    from examples.protocol.captured_step import StepGraph
    from examples.protocol.data.images import Batch
    from examples.protocol.recipe import Recipe
    from examples.protocol.schedule import make_optimizer
    from examples.protocol.training import train_step

    recipe, tokenizer = Recipe(), open_clip.SimpleTokenizer()
    method = CoOp(clip, tokenizer, names(base + novel), n_base=base, recipe=recipe, dataset="imagenet")
    sar = _sar(base + novel, method.tower.embed_dim, sampling, images.device)
    labels = torch.randint(0, base, (len(images),), device=images.device)
    batch = Batch([images], labels, None, len(images))
    optimizer, graph = make_optimizer(method.learned().values(), recipe), StepGraph(method, sar, recipe)
    return partial(train_step, method, sar, batch, optimizer, recipe, graph=graph)


def bank_building(bench: Bench) -> dict[str, Any]:
    """Eight templates, no gradient: 700 names both layouts, 21,000 names packed."""
    tower = text_tower(model(bench, torch.float32 if bench.dry else torch.float16))
    templates = resolve_templates("imagenet")[: 1 if bench.dry else None]
    rows: dict[str, Any] = {}
    banks: tuple[tuple[int, Layout], ...] = ((700, "grouped"), (700, "packed"), (21_000, "packed"))
    if bench.dry:
        banks = ((9, "packed"),)
    for count, layout in banks:
        encode = partial(encode_templates, tower, names(count), templates, batch_size=2048, layout=layout)
        rows[f"bank, {layout}, {count} names"] = _once(bench, encode)
    return rows


def _once(bench: Bench, run: Callable[[], Any]) -> dict[str, float]:
    bench.synchronize()
    start = time.perf_counter()
    run()
    bench.synchronize()
    return {"seconds": time.perf_counter() - start}


def profile_step(bench: Bench) -> dict[str, Any]:
    """The fifteen costliest operations of one step, and a trace beside the record."""
    from torch.profiler import ProfilerActivity, profile

    clip = model(bench, torch.float32 if bench.dry else torch.float16)
    side = 32 if bench.dry else 224
    images = torch.randn(2, 3, side, side, device=bench.device, dtype=clip.visual.proj.dtype)
    step = _whole_step(clip, images, *((4, 4) if bench.dry else (100, 200)), "ours", "ring")
    step()
    activities = [ProfilerActivity.CPU, *([] if bench.dry else [ProfilerActivity.CUDA])]
    with profile(activities=activities) as profiler:
        step()
        bench.synchronize()
    if not bench.dry:
        profiler.export_chrome_trace(str(bench.out / "trace.json.gz"))
    order = "self_cpu_time_total" if bench.dry else "self_cuda_time_total"
    table = profiler.key_averages().table(sort_by=order, row_limit=15)
    return {"table": table[:6000].splitlines()}
