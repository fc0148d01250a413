"""Text and image features of prompts that contain learnable vectors."""

from __future__ import annotations

from sar_reg.prompting.encoder import PromptEncoder
from sar_reg.prompting.image_prompts import ImagePromptEncoder
from sar_reg.prompting.learned_prompt import LearnedPrompt
from sar_reg.prompting.towers import TextTower, text_tower

__all__ = ["ImagePromptEncoder", "LearnedPrompt", "PromptEncoder", "TextTower", "text_tower"]
