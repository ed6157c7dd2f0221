"""Rotary embedding's settings: Llama 3.1's scaling of its frequencies, and how configs write it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from nlpsuite.errors import UnsupportedModelError

__all__ = ["RopeScaling", "rope_settings"]


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """Llama 3.1's stretching of rotary frequencies for contexts longer than pretraining's.

    Wavelengths longer than ``original / low_freq_factor`` are stretched by ``factor``, those
    shorter than ``original / high_freq_factor`` are unchanged, those between are interpolated.
    Source: Llama 3 reference code, ``apply_scaling``.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int

    def divisor(self, frequency: float) -> float:
        """What one inverse frequency (radians per position) is divided by."""
        wavelength = 2 * math.pi / frequency
        turns = self.original_max_position_embeddings / wavelength
        share = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        share = min(1.0, max(0.0, share))  # of the unscaled frequency
        return 1 / ((1 - share) / self.factor + share)

    @classmethod
    def from_hf(cls, rope: dict[str, Any]) -> RopeScaling:
        try:
            scaling = cls(
                float(rope["factor"]),
                float(rope["low_freq_factor"]),
                float(rope["high_freq_factor"]),
                int(rope["original_max_position_embeddings"]),
            )
        except KeyError as error:
            raise UnsupportedModelError(f"Model config: rope scaling lacks {error.args[0]!r}.") from None
        possible = (
            0 < scaling.factor < math.inf
            and 0 < scaling.low_freq_factor < scaling.high_freq_factor < math.inf
            and scaling.original_max_position_embeddings > 0
        )
        if not possible:
            raise UnsupportedModelError(f"Model config: rope scaling has impossible values {rope}.")
        return scaling


def rope_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings, which have had two names; with ``factor`` if frequencies are scaled."""
    rope = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "llama3"):
        raise UnsupportedModelError(
            f"Rotary scaling {kind!r} is not supported.", hint="Supported: none, and Llama 3's ('llama3')."
        )
    if kind == "default":
        rope = {key: value for key, value in rope.items() if key == "rope_theta"}
    known = {"rope_type", "type", "rope_theta", *(f.name for f in dataclasses.fields(RopeScaling))}
    if unknown := sorted(rope.keys() - known):
        raise UnsupportedModelError(f"Model config: rope setting {unknown[0]!r} is not supported.")
    return rope
