"""What a decoder takes on disk and in memory, computed from its configuration alone."""

from __future__ import annotations

import math
from collections.abc import Callable

from nlpsuite.models.decoder_config import DecoderConfig

__all__ = ["PRECISIONS", "cache_bytes", "memory_bytes", "weight_bytes"]

_BLOCK = 32
_PAGE = 4096  # each stored tensor begins on one
# Python and the libraries; and the tokenizer's tables, for each of its tokens. From the peaks of processes that run
# the default model and Gemma 3 270M, which the sum meets within 7 %.
_PROCESS_BYTES = 110_000_000
_TOKEN_BYTES = 1_300


def _plain(width: int) -> Callable[[int, int], int]:
    return lambda rows, columns: width * rows * columns


def _channels8(rows: int, columns: int) -> int:
    return rows * (columns + 4)


def _blocks8(rows: int, columns: int) -> int:
    return rows * math.ceil(columns / _BLOCK) * (_BLOCK + 4)


def _blocks4(rows: int, columns: int) -> int:
    """Levels, scales and zero points; the sums of blocks are further columns (see ``export.int4_layout``)."""
    blocks = math.ceil(columns / _BLOCK)
    blocks += math.ceil(blocks / _BLOCK)
    return rows * (blocks * (_BLOCK // 2 + 4) + math.ceil(blocks / 2))


# Layers, embedding and head, and bytes of a number that isn't in a matrix.
_FORMS: dict[str, tuple[Callable[[int, int], int], Callable[[int, int], int], int]] = {
    "int8": (_channels8, _blocks8, 4),
    "int4": (_blocks4, _blocks8, 4),
    "fp16": (_plain(2), _plain(2), 2),
    "fp32": (_plain(4), _plain(4), 4),
}
PRECISIONS = tuple(_FORMS)


def weight_bytes(config: DecoderConfig, precision: str) -> int:
    """Bytes of a bundle's weights, to about 1 %. The tokenizer, 2 to 35 MB, comes on top.

    8-bit layers are counted as the kernels for common CPUs store them, with one scale per output.
    """
    layer, table, number = _FORMS[precision]
    total = 0
    for name, shape in config.parameter_shapes():
        if len(shape) == 1:
            size = number * shape[0]
        else:
            size = (layer if ".layers." in name else table)(shape[0], shape[1])
        total += size + _PAGE // 2
    if precision == "int4":
        # The matrices that sum a layer's inputs, one for each width.
        widths = {s[1] for name, s in config.parameter_shapes() if len(s) == 2 and ".layers." in name}
        total += sum(4 * width * (math.ceil(width / _BLOCK) + -width % _BLOCK) for width in widths)
    return total


def cache_bytes(config: DecoderConfig, precision: str, tokens: int) -> int:
    """Bytes of the keys and values of a text of ``tokens`` tokens."""
    width = 2 if precision == "fp16" else 4
    return 2 * width * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * tokens


def memory_bytes(config: DecoderConfig, precision: str, tokens: int = 2048) -> int:
    """The memory of a process that runs the model on one text of ``tokens`` tokens, to about 10 %."""
    # onnxruntime packs the head's blocks for its kernel and leaves the embedding as it is.
    packed = 0 if precision.startswith("fp") else _blocks8(config.vocab_size, config.hidden_size)
    process = _PROCESS_BYTES + _TOKEN_BYTES * config.vocab_size
    return weight_bytes(config, precision) + packed + cache_bytes(config, precision, tokens) + process
