"""Whether a model follows plain instructions, so that a task can do without what holds a small one to the text."""

from __future__ import annotations

from nlpsuite.runtime.bundle import Bundle

__all__ = ["CAPABLE_PARAMETERS", "is_capable"]

CAPABLE_PARAMETERS = 900_000_000
"""The smallest models that are called 1B; below, instructions are followed now and then."""

# Bytes of a weight, for bundles whose manifest doesn't have the number of weights.
_WEIGHT_BYTES = {"int8": 1.05, "int4": 0.75, "fp16": 2.0, "fp32": 4.0}


def is_capable(bundle: Bundle) -> bool:
    """Whether the model is large enough, has learned to answer (it has a chat template), and wasn't adapted to
    prompts of a task."""
    if bundle.adapter is not None or "chat_template.jinja" not in bundle.files:
        return False
    if bundle.parameters:  # also known while the graph is yet to be written
        return bundle.parameters >= CAPABLE_PARAMETERS
    return bundle.size_bytes / _WEIGHT_BYTES[bundle.graphs[0].precision] >= CAPABLE_PARAMETERS
