"""Figures of how good outputs are: pure functions of outputs and reference answers."""
