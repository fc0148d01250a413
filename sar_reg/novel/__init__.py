"""Where novel class names come from: a language model, WordNet, a word list, or the oracle."""

from sar_reg.novel.cleaning import Cleaned, clean_names
from sar_reg.novel.llm.llm_classes import LLMClasses
from sar_reg.novel.oracle import Oracle
from sar_reg.novel.source import NovelClassesError, NovelNames, NovelSource
from sar_reg.novel.wordlist import WordList, read_names
from sar_reg.novel.wordnet.wordnet_classes import WordNetClasses

__all__ = [
    "Cleaned",
    "LLMClasses",
    "NovelClassesError",
    "NovelNames",
    "NovelSource",
    "Oracle",
    "WordList",
    "WordNetClasses",
    "clean_names",
    "read_names",
]
