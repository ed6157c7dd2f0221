"""Weights in 8-bit floating point, as some Hugging Face directories store them, and what is refused by name.

A weight is stored in FP8 (Micikevicius et al. 2022, arXiv:2209.05433) with a scale for the whole, for each output or for
each block beside it: ``weight_scale`` (compressed-tensors) or ``weight_scale_inv`` (DeepSeek, Qwen), by which it is
multiplied in both cases. Scales of activations are left out: those are computed in more bits here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError

__all__ = ["ACTIVATION_SCALES", "FP8", "WEIGHT_SCALES", "block_size", "scaled", "widen_fp8"]

Floats = npt.NDArray[np.float32]

FP8 = {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
"""Storage types of safetensors to their names in ``ml_dtypes``."""
WEIGHT_SCALES = ("_scale_inv", "_scale")
"""What follows a weight's name in that of its scale."""
ACTIVATION_SCALES = ("input_scale", "output_scale", "activation_scale", "k_scale", "v_scale")

_NAMES = {
    "awq": "AWQ",
    "gptq": "GPTQ",
    "bitsandbytes": "bitsandbytes",
    "mxfp4": "MXFP4",
    "eetq": "EETQ",
    "hqq": "HQQ",
}


def block_size(path: Path, settings: Any) -> tuple[int, int] | None:
    """The blocks that share a scale, of a ``quantization_config``; None if it doesn't say.

    Raises:
        UnsupportedModelError: another quantisation than FP8; names it.
    """
    if not isinstance(settings, Mapping):
        raise UnsupportedModelError(f"{path}: quantization_config={settings!r} is not supported.")
    method = str(settings.get("quant_method") or settings.get("quant_algo") or "unknown").lower()
    eight = method in ("fp8", "fbgemm_fp8") or (
        method == "compressed-tensors" and settings.get("format") in ("float-quantized", "naive-quantized")
    )
    if not eight:
        form = f" ({settings['format']})" if isinstance(settings.get("format"), str) else ""
        raise UnsupportedModelError(
            f"{path}: quantization_config with {_NAMES.get(method, method)}{form} is not supported.",
            hint="Take the model that it was made from, or a GGUF file of it: Q4_K_M, Q4_0 and Q8_0 are read.",
        )
    size = settings.get("weight_block_size")
    if size is None:
        return None
    if not isinstance(size, list) or len(size) != 2 or not all(type(n) is int and n > 0 for n in size):
        raise BundleCorruptError(f"{path}: weight_block_size is {size!r}, must be two positive numbers.")
    return size[0], size[1]


@functools.cache
def _table(kind: str) -> Floats:
    """The value of each of the 256 bytes."""
    import ml_dtypes

    values = np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, FP8[kind]))
    return np.asarray(values.astype(np.float32))


def widen_fp8(values: npt.NDArray[np.uint8], kind: str) -> Floats:
    """Bytes of 8-bit floats of a type in ``FP8`` as float32."""
    return _table(kind)[values]


def scaled(
    name: str,
    weight: Floats,
    scale: Floats,
    block: tuple[int, int] | None,
    *,
    first: int = 0,
    outputs: int | None = None,
) -> Floats:
    """A weight (outputs, inputs) times its scale: of one number, of (outputs, 1), or one for each block.

    Args:
        first: where the weight begins in a stored one of more ``outputs``, whose scale it is.

    Raises:
        BundleCorruptError: the scale doesn't fit the weight.
    """
    if scale.size == 1:
        return weight * scale.reshape(())
    outputs = outputs or len(weight)
    rows = np.arange(first, first + len(weight))
    if scale.shape in ((outputs,), (outputs, 1)):
        return weight * scale[rows].reshape(-1, *[1] * (weight.ndim - 1))
    whole = (outputs, *weight.shape[1:])
    blocks = block and tuple(-(-size // each) for size, each in zip(whole, block))
    if block is None or scale.shape != blocks:
        raise BundleCorruptError(
            f"The scale of {name} has shape {list(scale.shape)}, which doesn't fit {list(whole)}."
        )
    return np.asarray(weight * np.repeat(scale[rows // block[0]], block[1], 1)[:, : weight.shape[1]])
