"""Choosing a device: auto falls back, a wish that can't be met says why."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from nlpsuite.errors import DeviceUnavailableError
from nlpsuite.runtime.device import Device, choose_device, cuda_problem

GPU_BUILD = ["CUDAExecutionProvider", "CPUExecutionProvider"]


class Driver:
    """Stands for libcuda: cuInit and cuDeviceGetCount."""

    def __init__(self, init: int = 0, count_status: int = 0, count: int = 1) -> None:
        self._init, self._count_status, self._count = init, count_status, count

    def cuInit(self, flags: int) -> int:
        assert flags == 0
        return self._init

    def cuDeviceGetCount(self, pointer: Any) -> int:
        pointer._obj.value = self._count
        return self._count_status


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend a machine: its onnxruntime, its driver, its libraries."""

    def pretend(
        providers: list[str] = GPU_BUILD, driver: Driver | None = None, missing_library: str | None = None
    ) -> list[str]:
        opened: list[str] = []

        def load(name: str, mode: int = 0) -> Any:
            opened.append(Path(name).name)
            if "libcuda" in name or "nvcuda" in name:
                if driver is None:
                    raise OSError(f"{name}: cannot open shared object file")
                return driver
            if missing_library is not None and "_cuda" in name:
                raise OSError(f"{missing_library}: cannot open shared object file")
            return object()

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("noise"), raising=False)
        monkeypatch.setattr(ctypes, "CDLL", load)
        return opened

    return pretend


def test_a_machine_with_cuda(machine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    opened = machine(driver=Driver())
    assert cuda_problem() is None
    assert choose_device("auto") == choose_device("cuda") == Device("cuda")
    # The driver first; the provider's shared part before the provider.
    assert [name.split(".")[0].removeprefix("lib") for name in opened[1:3]] == [
        "onnxruntime_providers_shared",
        "onnxruntime_providers_cuda",
    ]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "facts,reason",
    [
        ({"providers": ["CPUExecutionProvider"], "driver": Driver()}, "onnxruntime-gpu"),
        ({"driver": None}, "no NVIDIA driver"),
        ({"driver": Driver(init=100)}, "cuInit returned 100"),
        ({"driver": Driver(count=0)}, "no device"),
        ({"driver": Driver(count_status=3)}, "no device"),
        ({"driver": Driver(), "missing_library": "libcudnn.so.9"}, r"libcudnn\.so\.9.*nlpsuite\[cuda\]"),
    ],
)
def test_auto_falls_back_and_cuda_says_why_not(machine: Any, facts: dict[str, Any], reason: str) -> None:
    machine(**facts)
    assert choose_device("auto") == Device("cpu")
    assert choose_device() == Device("cpu")
    with pytest.raises(DeviceUnavailableError, match=reason) as raised:
        choose_device("cuda")
    assert raised.value.exit_code == 5
    assert "--device" in raised.value.hint and "doctor" in raised.value.hint


def test_the_driver_is_not_touched_for_the_cpu(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = machine(driver=Driver())
    assert choose_device("cpu") == Device("cpu")
    machine(providers=["CPUExecutionProvider"])
    cuda_problem()
    assert opened == []


def test_providers() -> None:
    assert Device("cpu").providers == ["CPUExecutionProvider"]
    assert Device("cuda").providers == GPU_BUILD
    assert Device("cuda").provider == "CUDAExecutionProvider"


def test_a_session_that_silently_starts_elsewhere_is_refused(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlpsuite.runtime.session import SlotSession

    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda self: ["CPUExecutionProvider"])
    monkeypatch.setattr(Device, "providers", property(lambda self: ["CPUExecutionProvider"]))
    with pytest.raises(DeviceUnavailableError, match="did not start CUDAExecutionProvider"):
        SlotSession(tiny_bundle / "onnx" / "slots.onnx", Device("cuda"))


def test_loading_asks_for_the_device(tiny_bundle: Path, machine: Any) -> None:
    from nlpsuite.runtime.language_model import LanguageModel

    machine(driver=None)
    assert LanguageModel.load(tiny_bundle).device == Device("cpu")
    with pytest.raises(DeviceUnavailableError):
        LanguageModel.load(tiny_bundle, device="cuda")


def test_nothing_is_decided_at_import() -> None:
    import subprocess
    import sys

    code = "import sys, nlpsuite.runtime.device; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.gpu
def test_cuda_gives_the_cpus_logits(tiny_bundle: Path) -> None:
    import numpy as np

    from nlpsuite.runtime.session import SlotSession

    ids = np.arange(20).reshape(2, 10)
    zeros = np.zeros(2, np.int64)
    results = []
    for kind in ("cpu", "cuda"):
        session = SlotSession(tiny_bundle / "onnx" / "slots.onnx", Device(kind))  # type: ignore[arg-type]
        session.reserve(2, 20)
        session.run(ids, zeros, np.full((2, 1), 9))
        results.append(session.run(ids[:, :3], zeros + 10, np.array([[0, 2], [1, 2]])))
    np.testing.assert_allclose(results[1], results[0], atol=0.02)
