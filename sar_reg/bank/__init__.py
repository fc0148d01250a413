"""The anchor bank: frozen features of base and novel class names."""

from sar_reg.bank.anchor_bank import AnchorBank
from sar_reg.bank.build import build_anchor_bank
from sar_reg.bank.encoding import encode_templates
from sar_reg.bank.templates import GENERAL, SPECIFIC, resolve_templates

__all__ = [
    "GENERAL",
    "SPECIFIC",
    "AnchorBank",
    "build_anchor_bank",
    "encode_templates",
    "resolve_templates",
]
