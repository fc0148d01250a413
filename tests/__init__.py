"""Tests; packages, so that they can share modules."""
