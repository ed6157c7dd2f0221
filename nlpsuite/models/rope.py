"""Rotary embedding's settings: how frequencies are scaled for long contexts, and how configs write it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from nlpsuite.errors import UnsupportedModelError

__all__ = ["RopeScaling", "rope_fields", "rope_settings", "yarn_divisors"]


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
    def from_hf(cls, rope: Mapping[str, Any]) -> RopeScaling:
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


# Kinds of scaling to their settings. Llama 3's: see ``RopeScaling``. Linear: Chen et al. 2023, arXiv:2306.15595.
# LongRoPE: Ding et al. 2024, arXiv:2402.13753. YaRN: Peng et al. 2023, arXiv:2309.00071.
_SETTINGS: dict[str, frozenset[str]] = {
    "default": frozenset(),
    "llama3": frozenset(field.name for field in dataclasses.fields(RopeScaling)),
    "linear": frozenset({"factor"}),
    "longrope": frozenset(
        {"short_factor", "long_factor", "factor", "original_max_position_embeddings", "attention_factor"}
    ),
    "yarn": frozenset(
        {"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow"}
        | {"mscale", "mscale_all_dim", "truncate"}
    ),
}


def rope_settings(config: Mapping[str, Any], *, partial: bool = False) -> dict[str, Any]:
    """The rotary settings of the layers that see everything; they have had two names.

    Args:
        partial: whether the model may rotate a part of each head.

    Raises:
        UnsupportedModelError: a kind or setting that isn't supported; names it.
    """
    rope = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    if "full_attention" in rope:  # by type of layer
        rope = dict(rope["full_attention"])
    kind = rope.setdefault("rope_type", rope.pop("type", None) or "default")
    if kind == "su":
        kind = rope["rope_type"] = "longrope"  # its first name
    if kind not in _SETTINGS:
        raise UnsupportedModelError(
            f"Rotary scaling {kind!r} is not supported.", hint=f"Supported: {', '.join(_SETTINGS)}."
        )
    if partial:
        rope.pop("partial_rotary_factor", None)
    known = {"rope_type", "type", "rope_theta", *_SETTINGS[kind]}
    # Without scaling, what else is there has no effect.
    read = rope.keys() if kind != "default" else rope.keys() & {"partial_rotary_factor"}
    if unknown := sorted(key for key in read - known if rope[key] is not None):
        raise UnsupportedModelError(f"Model config: rope setting {unknown[0]!r} is not supported.")
    rope.setdefault("rope_theta", config.get("rope_theta"))
    if kind == "longrope":
        rope.setdefault("original_max_position_embeddings", config.get("original_max_position_embeddings"))
    return rope


def rope_fields(rope: Mapping[str, Any], size: int, context: int) -> tuple[dict[str, Any], int]:
    """The fields of a configuration for rotary settings, and the context in which they hold.

    Args:
        size: dimensions of a head that are rotated.
        context: of the model.
    """
    fields: dict[str, Any] = {"rope_theta": float(rope.get("rope_theta") or 10_000.0), "rope_scaling": None}
    kind = rope["rope_type"]
    if kind == "llama3":
        fields["rope_scaling"] = RopeScaling.from_hf(rope)
    elif kind == "linear":
        fields["rope_divisors"] = (_positive(rope, "factor"),) * (size // 2)
    elif kind == "longrope":
        # The other factors are for longer texts, and computing a text's beginning again would be needed.
        original = int(_positive(rope, "original_max_position_embeddings"))
        fields["rope_divisors"] = tuple(float(factor) for factor in rope.get("short_factor") or ())
        stretch = rope.get("factor") or context / original
        magnitude = rope.get("attention_factor")
        if magnitude is None:
            magnitude = math.sqrt(1 + math.log(stretch) / math.log(original)) if stretch > 1 else 1.0
        fields["rope_magnitude"] = float(magnitude)
        context = min(context, original)
    elif kind == "yarn":
        original = int(rope.get("original_max_position_embeddings") or context)
        factor = float(rope["factor"]) if rope.get("factor") else context / original
        fields["rope_divisors"] = yarn_divisors(
            fields["rope_theta"],
            size,
            factor,
            original,
            beta_fast=_positive({"beta_fast": 32, **_given(rope)}, "beta_fast"),
            beta_slow=_positive({"beta_slow": 1, **_given(rope)}, "beta_slow"),
            truncate=rope.get("truncate") is not False,
        )
        fields["rope_magnitude"] = _yarn_magnitude(rope, factor)
        context = max(context, int(original * factor))
    return fields, context


def yarn_divisors(
    theta: float,
    size: int,
    factor: float,
    original: int,
    *,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
    truncate: bool = True,
) -> tuple[float, ...]:
    """What YaRN divides each frequency by.

    Frequencies that turn more than ``beta_fast`` times in the original context stay, those that turn less than
    ``beta_slow`` times are divided by ``factor``; between them the share grows with the number of the frequency.

    Args:
        theta: the base of the frequencies.
        size: dimensions of a head that are rotated.
        original: the context of pretraining, in tokens.
        truncate: the ramp begins and ends at whole numbers.

    Raises:
        UnsupportedModelError: a value out of range.
    """
    if not (1 <= factor < math.inf and original > 0 and theta > 1):
        raise UnsupportedModelError(
            f"Model config: YaRN with factor {factor}, context {original} and theta {theta} is not supported."
        )

    def place(turns: float) -> float:
        """The number of the frequency that turns so often in the original context."""
        return size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = place(beta_fast), place(beta_slow)
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    high = high + 0.001 if high == low else high
    shares = (min(1.0, max(0.0, (i - low) / (high - low))) for i in range(size // 2))
    return tuple(1 / (share / factor + 1 - share) for share in shares)


def _yarn_magnitude(rope: Mapping[str, Any], factor: float) -> float:
    if rope.get("attention_factor") is not None:
        return _positive(rope, "attention_factor")

    def scale(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0

    if rope.get("mscale") and rope.get("mscale_all_dim"):
        return scale(_positive(rope, "mscale")) / scale(_positive(rope, "mscale_all_dim"))
    return scale(1.0)


def _given(rope: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rope.items() if value}


def _positive(rope: Mapping[str, Any], name: str) -> float:
    value = rope.get(name)
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UnsupportedModelError(f"Model config: rope setting {name!r} is {value!r}, must be positive.")
    return float(value)
