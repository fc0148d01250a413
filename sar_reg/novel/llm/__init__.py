"""Class names from a language model behind an OpenAI-compatible server."""

from sar_reg.novel.llm.client import open_client
from sar_reg.novel.llm.conversation import Conversation
from sar_reg.novel.llm.llm_classes import LLMClasses
from sar_reg.novel.llm.reply import names_in

__all__ = ["Conversation", "LLMClasses", "names_in", "open_client"]
