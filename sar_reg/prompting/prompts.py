"""Which vector stands in each row of each class's prompt: a token, or one of the learnable ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sar_reg.class_names import refuse_same_rows, spoken
from sar_reg.errors import InputError, counted
from sar_reg.prompting.template import ContextTemplate
from sar_reg.prompting.towers import TextTower
from sar_reg.shapes import Int, Tensor


@dataclass(frozen=True)
class PromptRows:
    """The prompts of all classes, row by row.

    Attributes:
        tokens: ids of the placeholder prompts, as the tokenizer returns them.
        source: the token id in each row, or `-1 - i` where context vector `i` stands.
        last: the row that the model reads, end-of-text.
        start: the first row that learned tensors may replace: 1 behind a start token.
    """

    tokens: Int[Tensor, "classes context"]
    source: Int[Tensor, "classes context"]
    last: Int[Tensor, " classes"]
    start: int = 1

    @property
    def ids(self) -> Int[Tensor, "classes context"]:
        """Input ids of the model: `source` with the placeholder's id at the positions of context vectors."""
        return torch.where(self.source < 0, self.tokens[:, self.start : self.start + 1], self.source)

    def shared(self, *, class_specific: bool = False) -> int:
        """Length of the shared prefix, excluding the pooled row."""
        same = (self.source == self.source[:1]).all(dim=0)
        if class_specific:
            same &= (self.source >= 0).all(dim=0)
        return min(int(same.int().cumprod(dim=0).sum()), int(self.last.min()))

    def to(self, device: torch.device) -> PromptRows:
        """The same on another device."""
        return PromptRows(self.tokens.to(device), self.source.to(device), self.last.to(device), self.start)

    def of(self, classes: Int[Tensor, " some"]) -> PromptRows:
        """The prompts of these classes, by number."""
        return PromptRows(self.tokens[classes], self.source[classes], self.last[classes], self.start)


def fixed_rows(tower: TextTower, texts: Sequence[str]) -> PromptRows:
    """Rows of plain sentences, without learnable vectors, on the CPU."""
    tokens = tower.ids(texts)
    return PromptRows(tokens, tokens, _pooled_row(tower, tokens))


def prompt_rows(tower: TextTower, classnames: Sequence[str], template: ContextTemplate) -> PromptRows:
    """Rows of `start | context | infix words | class name | suffix | end` and its two other orders, on the CPU.

    The tokens are those of one string, "X X X X infix name" + suffix, tokenised as a whole. "middle" puts the
    class name after the first `n_ctx // 2` context vectors, "front" before all of them; there, a class name
    is as long as it is when tokenised alone.

    Raises:
        InputError: if the placeholder "X" is not one token, a prompt does not fit the context, or the tokenizer
            gives two names the same prompt.
    """
    names, n_ctx = [spoken(name) for name in classnames], template.n_ctx
    tokens = tower.ids([template.text(name) for name in names])
    start = _context_start(tower, tokens, n_ctx)
    refuse_same_rows([*classnames, ""], torch.cat([tokens, tower.ids([template.text("")])]))
    source = tokens.clone()
    source[:, start : start + n_ctx] = torch.arange(-1, -1 - n_ctx, -1, device="cpu")
    if template.class_position != "end":
        if tower.pooled_row is None:
            raise InputError(
                f'class_position="{template.class_position}" needs a CLIP text tower; here {tower.why_not}'
            )
        lengths = tower.pooled_row(tower.ids(names)) - start
        source = _name_moved(source, lengths, n_ctx, template.before, start)
    return PromptRows(tokens, source, _pooled_row(tower, tokens), start)


def leading_ids(tower: TextTower, words: str, count: int) -> Int[Tensor, " count"]:
    """The ids of the first `count` tokens of some words, without a start token.

    Raises:
        InputError: if the words have fewer tokens, or are not a string.
    """
    if not isinstance(words, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f'words must be a string, such as "a photo of a", not {words!r:.60}')
    nothing, *ids = tower.ids(["", words, words + " X"])
    start = int((~torch.isin(ids[0], nothing)).int().argmax())
    # where the two texts part, the words end
    found = int((ids[0] == ids[1]).int().cumprod(dim=0).sum()) - start
    if found < count:
        raise InputError(
            f'"{words}" has {counted(max(found, 0), "token")}, fewer than the {counted(count, "context vector")}: '
            "pass more words or a smaller n_ctx"
        )
    return ids[0][start : start + count]


def _context_start(tower: TextTower, tokens: Int[Tensor, "classes context"], n_ctx: int) -> int:
    """The column of the first placeholder: 1 behind a start token, 0 for tokenizers without one."""
    nothing, row = tower.ids(["", " ".join(["X"] * n_ctx)])
    # two ids where the first word is written differently
    ids = [token for token in row.tolist() if token not in nothing.tolist()]
    here = torch.isin(tokens, torch.tensor(ids, dtype=tokens.dtype, device="cpu"))
    start = int(here[0].int().argmax())
    if len(ids) != n_ctx or not here[:, start : start + n_ctx].all() or here[:, :start].any():
        raise InputError(
            'the tokenizer must make one token of each placeholder "X" and pad on the right; '
            f"for {n_ctx} of them it returned the ids {row[: n_ctx + 3].tolist()}; "
            "pass the tokenizer the model was trained with"
        )
    return start


def _name_moved(
    source: Int[Tensor, "classes context"],
    name_length: Int[Tensor, " classes"],
    n_ctx: int,
    before: int,
    start: int,
) -> Int[Tensor, "classes context"]:
    moved, end = source.clone(), start + n_ctx
    for row, length in enumerate(name_length.tolist()):
        context, name = source[row, start:end], source[row, end : end + length]
        moved[row, start : end + length] = torch.cat([context[:before], name, context[before:]])
    return moved


def _pooled_row(tower: TextTower, tokens: Tensor) -> Tensor:
    # only meaningful where the tower is read at end-of-text; elsewhere nothing is shared or cropped
    if tower.pooled_row is None:
        return torch.full((len(tokens),), tokens.shape[1] - 1, device="cpu")
    return tower.pooled_row(tokens)
