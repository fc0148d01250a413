"""Reproductions: five prompt-tuning methods with and without SAR, on one shared protocol."""
