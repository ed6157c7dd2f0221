"""Whether onnxruntime's integer kernels compute exactly on this machine.

On x86 without VNNI, its product of uint8 by int8 adds pairs in 16 bits and saturates silently (``vpmaddubsw``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlpsuite.errors import BundleCorruptError

__all__ = ["is_exact"]


def is_exact(graph: bytes | Path) -> bool:
    """Run a graph of ``export.kernels.exactness_graph``.

    Raises:
        BundleCorruptError: onnxruntime can't run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            graph if isinstance(graph, bytes) else str(graph), options, providers=["CPUExecutionProvider"]
        )
        shape = session.get_inputs()[0].shape
        [exact] = session.run(None, {"a": np.full(shape, 255, np.uint8)})
    except Exception as error:  # of onnxruntime, which has many kinds
        raise BundleCorruptError(f"onnxruntime can't run {graph!r:.200}: {error}") from None
    return bool(exact)
