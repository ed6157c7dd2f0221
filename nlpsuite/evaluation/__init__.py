"""Evaluation: predictions against references, with intervals, reports and comparisons."""
