"""Small tokenizers, built here, that treat special tokens as the downloaded ones do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = (
    "X x a photo of . , ' - s the cat golden retriever yellow lady lady's ladys slipper black footed black-footed "
    "ferret polecat airplane dog blackfooted"
)


@dataclass(frozen=True)
class Kind:
    """How a tokenizer frames a text; the position in `special` is the id."""

    special: tuple[str, ...]
    frame: str
    pad: str
    eos: str | None = None
    bos: str | None = None
    sep: str | None = None
    cls: str | None = None
    lower: bool = False
    prefix: str = "always"


KINDS: dict[str, Kind] = {
    "bert": Kind(
        ("[PAD]", "[UNK]", "[CLS]", "[SEP]"), "[CLS] $A [SEP]", "[PAD]", sep="[SEP]", cls="[CLS]", lower=True
    ),
    "siglip": Kind(("<unk>", "</s>"), "$A </s>", "</s>", eos="</s>"),
    "siglip2": Kind(("<pad>", "<eos>", "<unk>"), "$A <eos>", "<pad>", eos="<eos>"),
    "mt5": Kind(("<pad>", "</s>", "<unk>"), "$A </s>", "<pad>", eos="</s>"),
    "xlm": Kind(("<s>", "<pad>", "</s>", "<unk>"), "<s> $A </s>", "<pad>", eos="</s>", bos="<s>"),
    "nllb": Kind(("<s>", "<pad>", "</s>", "<unk>", "eng_Latn"), "eng_Latn $A </s>", "<pad>", eos="</s>"),
    "roberta": Kind(
        ("<s>", "<pad>", "</s>", "<unk>"), "<s> $A </s>", "<pad>", eos="</s>", bos="<s>", prefix="never"
    ),
}


def build(kind: str) -> Any:
    """A fast tokenizer of transformers."""
    from transformers import PreTrainedTokenizerFast

    how = KINDS[kind]
    words = [*dict.fromkeys(word for text in WORDS.split() for word in (text, "▁" + text))]
    vocabulary = {token: number for number, token in enumerate((*how.special, *words))}
    unknown = next(token for token in how.special if "unk" in token.lower())
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    if how.lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme=how.prefix), pre_tokenizers.Punctuation()]
    )
    special = [(token, vocabulary[token]) for token in how.special]
    tokenizer.post_processor = processors.TemplateProcessing(single=how.frame, special_tokens=special)
    named = {"pad": how.pad, "eos": how.eos, "bos": how.bos, "sep": how.sep, "cls": how.cls, "unk": unknown}
    given = {f"{name}_token": token for name, token in named.items() if token}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **given)


def folder(kind: str, root: Path) -> Path:
    """The tokenizer as files, as `AutoTokenizer.from_pretrained` reads them."""
    path = root / kind
    if not path.exists():
        build(kind).save_pretrained(path)
    return path
