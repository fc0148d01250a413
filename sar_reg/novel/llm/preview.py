"""What asking a model would send and cost, found out without asking it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sar_reg.novel.llm.asking import Task

_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Preview:
    """What a call would send.

    Attributes:
        prompt: the text of the next request; empty if none is needed.
        requests: how many requests it takes if every answer is good.
        tokens_in: estimate of the tokens sent by all of them (four characters each).
        tokens_out: estimate of the tokens received.
        cache_key: names the folder of the cache in which the answers are kept.
        received: how many usable names are there already.
    """

    prompt: str
    requests: int
    tokens_in: int
    tokens_out: int
    cache_key: str
    received: int

    def __str__(self) -> str:
        return (
            f"{self.prompt}\n\n"
            f"requests:  {self.requests} if every answer is good; nobody was called\n"
            f"tokens:    about {self.tokens_in} in, {self.tokens_out} out\n"
            f"received:  {self.received} names before this call\n"
            f"cache key: {self.cache_key}"
        )


def estimate(task: Task, known: Sequence[str], n: int, *, batch_size: int, cache_key: str) -> Preview:
    """Count what is missing to `n` names and what asking for it takes; later prompts repeat earlier names."""
    missing = max(0, n - len(known))
    requests = math.ceil(missing / batch_size)
    prompt = task.prompt(known, min(missing, batch_size), "schema") if missing else ""
    per_name = 2 + sum(map(len, task.base_classes)) / len(task.base_classes) / _CHARACTERS_PER_TOKEN
    repeated = per_name * batch_size * requests * (requests - 1) / 2
    return Preview(
        prompt=prompt,
        requests=requests,
        tokens_in=math.ceil(requests * len(prompt) / _CHARACTERS_PER_TOKEN + repeated),
        tokens_out=math.ceil((per_name + 2) * missing),
        cache_key=cache_key,
        received=len(known),
    )
