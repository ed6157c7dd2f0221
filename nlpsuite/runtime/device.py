"""Choosing the device a model runs on, when a model is loaded and never at import."""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nlpsuite.errors import DeviceUnavailableError

__all__ = ["Device", "DeviceChoice", "choose_device", "cuda_memory", "cuda_problem", "memory_speed"]

DeviceChoice = Literal["auto", "cuda", "cpu"]

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


@dataclass(frozen=True)
class Device:
    """A device of onnxruntime.

    Attributes:
        kind: ``cpu`` or ``cuda``, onnxruntime's name for its memory.
    """

    kind: Literal["cpu", "cuda"]

    @property
    def provider(self) -> str:
        return "CUDAExecutionProvider" if self.kind == "cuda" else "CPUExecutionProvider"

    @property
    def providers(self) -> list[str]:
        """Providers for a session; on CUDA, operators without a kernel run on the CPU."""
        return [self.provider] if self.kind == "cpu" else [self.provider, "CPUExecutionProvider"]


def choose_device(choice: DeviceChoice = "auto") -> Device:
    """Resolve ``auto`` to CUDA where it works, else to the CPU.

    Raises:
        DeviceUnavailableError: CUDA was requested and can't be used; the message says why.
    """
    if choice == "cpu":
        return Device("cpu")
    problem = cuda_problem()
    if problem is None:
        return Device("cuda")
    if choice == "auto":
        return Device("cpu")
    raise DeviceUnavailableError(
        f"CUDA can't be used: {problem}.",
        hint="Use --device auto or cpu, or see what `nlpsuite doctor` advises.",
    )


def cuda_problem() -> str | None:
    """Why the CUDA provider can't be used here, or None if it can.

    Checked in advance, since onnxruntime would write to stderr and then fall back to the CPU.
    """
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "this onnxruntime is the CPU build; the GPU build is the package onnxruntime-gpu"
    return _driver_problem() or _library_problem(Path(onnxruntime.__file__).parent / "capi")


def cuda_memory() -> int | None:
    """Bytes of memory of the first GPU, or None if the driver doesn't say."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return None
    size = ctypes.c_size_t(0)
    if driver.cuInit(0) or driver.cuDeviceTotalMem_v2(
        ctypes.byref(size), 0
    ):  # the first device's handle is 0
        return None
    return size.value


def memory_speed(cores: int, seconds: float = 0.2) -> float:
    """Bytes per second that so many cores read from memory, measured for about ``seconds``.

    Larger than caches; what else runs on the machine takes its part.
    """
    import concurrent.futures
    import time

    import numpy as np

    parts = [np.ones(1 << 22, np.int64) for _ in range(cores)]  # 32 MB each
    rounds = 0
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        list(pool.map(np.max, parts))  # begin with every page in place
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            list(pool.map(np.max, parts))
            rounds += 1
        return rounds * sum(part.nbytes for part in parts) / (time.perf_counter() - begin)


def _driver_problem() -> str | None:
    """Query the CUDA driver for devices (cuInit, cuDeviceGetCount)."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return f"no NVIDIA driver was found ({_DRIVER})"
    status = driver.cuInit(0)
    if status != 0:
        return f"the NVIDIA driver does not start (cuInit returned {status})"
    count = ctypes.c_int(0)
    status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status != 0 or count.value == 0:
        return "the NVIDIA driver reports no device"
    return None


def _library_problem(capi: Path) -> str | None:
    """Load the provider's library, which links to CUDA and cuDNN."""
    import onnxruntime

    name = "onnxruntime_providers_cuda.dll" if sys.platform == "win32" else "libonnxruntime_providers_cuda.so"
    if hasattr(onnxruntime, "preload_dlls"):
        # Loads the libraries of the `cuda` extra's packages; prints a line for each it can't find.
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()
    try:
        # Must be loaded first, with its symbols visible.
        shared = name.replace("_cuda", "_shared")
        ctypes.CDLL(str(capi / shared), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(capi / name))
    except OSError as error:
        return f"a library is missing ({error}); install the extra `nlpsuite[cuda]`"
    return None
