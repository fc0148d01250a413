"""Fixed targets: sentence embeddings of bare words, centred and projected on their principal directions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from examples.testbed.rebuild.packages import teacher_folder


@torch.no_grad()
def sentence_embeddings(work: Path, texts: Sequence[str], batch_size: int = 256) -> Tensor:
    """Unit rows `(n, 384)` of all-MiniLM-L6-v2: mean over tokens, normalised."""
    from transformers import AutoModel, AutoTokenizer

    folder = str(teacher_folder(work))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows = torch.empty(len(texts), model.config.hidden_size)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = tokenizer([texts[i] for i in chosen], padding=True, truncation=True, return_tensors="pt")
        hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"][:, :, None]
        rows[chosen] = F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)
    return rows


def targets(embeddings: Tensor, width: int = 128) -> Tensor:
    """Unit rows `(n, width)`: the embeddings' first principal directions."""
    centred = embeddings - embeddings.mean(0)
    _, vectors = torch.linalg.eigh(centred.T.double() @ centred.double())
    return F.normalize(centred @ vectors.flip(1)[:, :width].float(), dim=1)
