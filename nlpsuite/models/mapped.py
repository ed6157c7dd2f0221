"""Files mapped into memory, read once from beginning to end."""

from __future__ import annotations

import contextlib
import mmap

import numpy as np
import numpy.typing as npt

__all__ = ["release_pages"]


def release_pages(data: npt.NDArray[np.uint8] | mmap.mmap, begin: int, end: int) -> None:
    """Let go of the pages of bytes ``begin`` to ``end`` of a mapped file, where the system has that.

    Otherwise a process that reads a checkpoint tensor by tensor ends with the whole file in its memory. What is
    read again is mapped again.
    """
    mapping = data if isinstance(data, mmap.mmap) else getattr(data, "_mmap", None)
    if mapping is None or not hasattr(mmap, "MADV_DONTNEED"):
        return
    first = begin // mmap.PAGESIZE * mmap.PAGESIZE
    with contextlib.suppress(OSError, ValueError):
        mapping.madvise(mmap.MADV_DONTNEED, first, end - first)
