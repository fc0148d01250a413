"""CLIP's tokenizer with a reduced vocabulary and open_clip's call interface."""

from __future__ import annotations

from collections.abc import Sequence

from open_clip import SimpleTokenizer


class CutTokenizer(SimpleTokenizer):
    """CLIP's byte-pair encoding restricted to `pieces`; other pieces are split into these.

    `pieces` must contain every single byte (with and without `</w>`), so that any text has an encoding.
    Ids follow the order of `pieces`, then start and end of text. End of text has the largest id.
    """

    def __init__(self, pieces: Sequence[str], context_length: int) -> None:
        super().__init__(context_length=context_length)
        special = [self.decoder[self.sot_token_id], self.decoder[self.eot_token_id]]
        self.encoder = {piece: i for i, piece in enumerate([*pieces, *special])}
        self.decoder = {i: piece for piece, i in self.encoder.items()}
        self.vocab_size = len(self.encoder)
        self.all_special_ids = [self.encoder[token] for token in special]
        self.sot_token_id, self.eot_token_id = self.all_special_ids

    def bpe(self, token: str) -> str:
        """The pieces of one word, separated by spaces; all are in the reduced vocabulary."""
        return " ".join(part for piece in super().bpe(token).split(" ") for part in self._spell(piece))

    def _spell(self, piece: str) -> list[str]:
        if piece in self.encoder:
            return [piece]
        letters, end = (piece[:-4], "</w>") if piece.endswith("</w>") else (piece, "")
        parts: list[str] = []
        while letters:
            # longest first; only the last part has the end-of-word mark, and single bytes are all there
            candidates = [letters + end, *(letters[:size] for size in range(len(letters) - 1, 0, -1))]
            part = next(part for part in candidates if part in self.encoder)
            parts.append(part)
            letters = letters[len(part.removesuffix("</w>")) :]
        return parts
