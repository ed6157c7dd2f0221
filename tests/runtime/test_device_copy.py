"""Copies between addresses of a device, tried with the CPU's memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from nlpsuite.runtime.device import Device
from nlpsuite.runtime.device_copy import copy_on_device
from nlpsuite.runtime.session import SlotSession


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_part_of_an_array(dtype: Any) -> None:
    array = np.arange(4 * 6 * 5, dtype=dtype).reshape(4, 6, 5)
    expected = array.copy()
    expected[3, :2] = expected[1, :2]
    at = array.ctypes.data
    copy_on_device(Device("cpu"), dtype, (2, 5), at + array.strides[0], at + 3 * array.strides[0])
    np.testing.assert_array_equal(array, expected)


def test_slots_are_copied_on_the_device_as_on_the_host(tiny_bundle: Path) -> None:
    def filled() -> SlotSession:
        session = SlotSession(tiny_bundle / "onnx" / "slots.onnx", Device("cpu"), threads=1)
        session.reserve(3, 40)
        session.run(np.arange(1, 31)[None], np.zeros(1, np.int64), np.zeros((1, 1), np.int64))
        return session

    expected, session = filled(), filled()
    for state in session._states.values():  # as a device holds it
        state._value, state._host = onnxruntime.OrtValue.ortvalue_from_numpy(state._host, "cpu", 0), None
    for target in (1, 2):
        expected.copy_slot(0, target, 20)
    for target in (1, 2):
        session.copy_slot(0, target, 20)
    for theirs, ours in zip(expected._states.values(), session._states.values()):
        assert theirs._host is not None and theirs._host[1, :20].any()
        np.testing.assert_array_equal(ours._value.numpy(), theirs._host)
