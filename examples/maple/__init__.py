"""MaPLe: learned tokens in the first blocks of both towers."""
