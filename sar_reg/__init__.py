"""Similarity Alignment Regularization (SAR) for prompt tuning of CLIP."""

from sar_reg.bank.anchor_bank import AnchorBank
from sar_reg.bank.build import build_anchor_bank
from sar_reg.errors import SarRegError
from sar_reg.loss import SimilarityAlignmentLoss
from sar_reg.prompting import LearnedPrompt, PromptEncoder
from sar_reg.sampled_kl import sample_classes, similarity_alignment_loss
from sar_reg.version import __version__

__all__ = [
    "AnchorBank",
    "LearnedPrompt",
    "PromptEncoder",
    "SarRegError",
    "SimilarityAlignmentLoss",
    "__version__",
    "build_anchor_bank",
    "sample_classes",
    "similarity_alignment_loss",
]
