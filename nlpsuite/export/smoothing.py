"""Moving outliers of activations into the weights, so that 8 bits suffice for both.

A few channels of a decoder's activations are many times larger than the rest, and with one scale per token they
leave the rest few levels. Dividing channel j by s_j where it is computed, and multiplying column j of the
weights that read it by s_j, changes nothing but what gets rounded (SmoothQuant, Xiao et al. 2023,
arXiv:2211.10438). The factors are powers of two, so that the weights themselves stay exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from nlpsuite.export.weights import finite_tensor
from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.models.config import DecoderConfig

__all__ = ["Smoothing", "smoothing_factors"]

Floats = npt.NDArray[np.float32]

# s = activation ** α / weight ** (1 - α). Perplexity of the default model on three texts, against fp32:
# without +2.9, +3.7, +2.8 %; α = 0.5 +1.2, +1.4, +0.5; 0.6 +1.1, +1.1, +0.5; 0.7 +1.0, +0.6, +1.4.
_ALPHA = 0.6
_MOST_TOKENS = 384


class Smoothing(NamedTuple):
    """Factors of a decoder.

    Attributes:
        inputs: name of a stacked layer to the factors (in,) of its weights' columns.
        outputs: checkpoint name of the norm or weight that computes these inputs to the divisors of its values
            or rows.
    """

    inputs: dict[str, Floats]
    outputs: dict[str, Floats]


def smoothing_factors(
    checkpoint: Checkpoint, ids: Sequence[int], on_progress: Callable[[float], None] = lambda fraction: None
) -> Smoothing:
    """The factors for a decoder, from the ranges of its activations on a text.

    Runs the model in numpy, one layer's weights in memory at a time.

    Args:
        ids: tokens of the text, at least one.
        on_progress: called with the completed fraction of the layers.

    Raises:
        BundleCorruptError: a weight is not a finite number.
    """
    config = cast(DecoderConfig, checkpoint.config)
    ids = ids[:_MOST_TOKENS]
    x = checkpoint.rows("model.embed_tokens.weight", np.asarray(ids))  # (S, D)
    x = x * np.float32(config.embedding_scale)
    tables = [_rotary(config, len(ids), local=local) for local in (False, True)]
    found = Smoothing({}, {})
    # Huge weights may overflow; channels without a range are left as they are.
    with np.errstate(all="ignore"):
        for i in range(config.num_hidden_layers):
            x = _layer(checkpoint, config, i, x, tables[i in config.local_layers], found)
            on_progress((i + 1) / config.num_hidden_layers)
    return found


def _layer(
    checkpoint: Checkpoint,
    config: DecoderConfig,
    i: int,
    x: Floats,
    rotary: tuple[Floats, Floats],
    found: Smoothing,
) -> Floats:
    """The residual stream after a layer; adds the layer's factors to ``found``."""
    prefix = f"model.layers.{i}."

    def weight(name: str) -> Floats:
        values = finite_tensor(checkpoint, f"{prefix}{name}.weight")
        return values + np.float32(config.traits.norm_offset) if "norm" in name else values

    def norm(name: str | None, values: Floats) -> Floats:
        return _rms_norm(values, weight(name), config.rms_norm_eps) if name else values

    def smooth(site: str, values: Floats, weights: Sequence[Floats], source: str | None) -> None:
        if source is None:
            return  # no weights before them that could be divided
        factors = _factors(values, weights)
        found.inputs[f"{i}.{site}"] = factors
        found.outputs[f"{prefix}{source}.weight"] = factors

    norms, scale = config.norms, np.float32(config.residual_scale)
    read = norm(norms.before_attention, x)
    q, k, v = (weight(f"self_attn.{part}_proj") for part in "qkv")
    smooth("qkv", read, (q, k, v), norms.before_attention)
    flat = [read @ matrix.T + bias for matrix, bias in zip((q, k, v), _biases(checkpoint, config, prefix))]
    if config.traits.qk_norm == "all":
        flat[:2] = (norm(f"self_attn.{part}_norm", values) for part, values in zip("qk", flat))
    heads = [values.reshape(len(x), -1, config.head_dim) for values in flat]
    if config.traits.qk_norm == "head":
        heads[:2] = (norm(f"self_attn.{part}_norm", values) for part, values in zip("qk", heads))
    if i not in config.no_rope_layers:
        heads[:2] = (_rotate(values, rotary) for values in heads[:2])
    window = config.sliding_window if i in config.local_layers else None
    mixed = _attention(heads[0], heads[1], heads[2], config.score_scale, window)
    x = x + scale * norm(norms.after_attention, mixed @ weight("self_attn.o_proj").T)
    read = norm(norms.before_mlp, x)
    gate, up, down = (weight(f"mlp.{part}_proj") for part in ("gate", "up", "down"))
    smooth("gate_up", read, (gate, up), norms.before_mlp)
    activated = _activation(config, read @ gate.T) * (read @ up.T)
    smooth("down", activated, (down,), "mlp.up_proj")
    result: Floats = x + scale * norm(norms.after_mlp, activated @ down.T)
    return result


def _activation(config: DecoderConfig, x: Floats) -> Floats:
    if config.traits.activation == "silu":
        silu: Floats = x / (1 + np.exp(-np.clip(x, -80, None)))
        return silu
    gelu: Floats = x / 2 * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x**3)))
    return gelu


def _factors(values: Floats, weights: Sequence[Floats]) -> Floats:
    """Powers of two (in,) for activations (S, in) and weights (out, in), about 1 on average."""
    activation = np.abs(values).max(axis=0)
    column = np.max([np.abs(weight).max(axis=0) for weight in weights], axis=0)
    usable = (activation > 0) & (column > 0) & np.isfinite(activation)
    if not usable.any():
        return np.ones_like(activation)
    logs = np.zeros_like(activation)
    logs[usable] = _ALPHA * np.log2(activation[usable]) - (1 - _ALPHA) * np.log2(column[usable])
    logs[usable] -= logs[usable].mean()
    factors: Floats = np.exp2(np.clip(np.rint(logs), -8, 8)).astype(np.float32)
    return factors


def _biases(checkpoint: Checkpoint, config: DecoderConfig, prefix: str) -> list[Floats | float]:
    if not config.traits.qkv_bias:
        return [0.0] * 3
    return [finite_tensor(checkpoint, f"{prefix}self_attn.{part}_proj.bias") for part in "qkv"]


def _rms_norm(x: Floats, weight: Floats, epsilon: float) -> Floats:
    result: Floats = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + epsilon) * weight
    return result


def _rotary(config: DecoderConfig, length: int, *, local: bool) -> tuple[Floats, Floats]:
    """Cosines and sines (S, r/2)."""
    angles = np.arange(length)[:, None] * np.array(config.rotary_frequencies(local=local), np.float32)
    magnitude = np.float32(config.rotary_magnitude(local=local))
    return np.cos(angles).astype(np.float32) * magnitude, np.sin(angles).astype(np.float32) * magnitude


def _rotate(x: Floats, rotary: tuple[Floats, Floats]) -> Floats:
    """Rotary embedding of the first r dimensions of (S, heads, d), halves layout."""
    cos, sin = (table[:, None] for table in rotary)
    half = cos.shape[-1]
    a, b, rest = np.split(x, (half, 2 * half), axis=-1)
    return np.concatenate((a * cos - b * sin, b * cos + a * sin, rest), axis=-1)


def _attention(q: Floats, k: Floats, v: Floats, scale: float, window: int | None) -> Floats:
    """Causal attention of (S, H, d) over (S, G, d), within a window if there is one; (S, H·d)."""
    length, heads, d = q.shape
    folded = q.reshape(length, k.shape[1], -1, d).transpose(1, 2, 0, 3)  # (G, R, S, d)
    scores = folded @ k.transpose(1, 2, 0)[:, None] * np.float32(scale)
    seen = np.tri(length, dtype=bool)
    if window is not None:
        seen &= ~np.tri(length, k=-window, dtype=bool)
    scores += np.where(seen, np.float32(0), np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    mixed = weights @ v.transpose(1, 0, 2)[:, None]
    result: Floats = np.ascontiguousarray(mixed.transpose(2, 0, 1, 3)).reshape(length, heads * d)
    return result
