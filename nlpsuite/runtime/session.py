"""One ONNX graph in onnxruntime, with the state of each row in place between runs.

The *slots* graph has a state per row ("slot") of the batch: inputs ``cache.*`` with matching outputs
``updated.*``. Input and output are bound to the same memory, so onnxruntime writes new keys and values in
place. A run covers a contiguous range of slots, bound by its address without copying.

A state is either a cache, with room for every token, or *recurrent*, of a fixed size like an LSTM's (h, c).
Whatever a cache holds past a row's end is ignored and later overwritten. A recurrent state must never see
padding, and can't be rolled back.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import BundleCorruptError, DeviceUnavailableError
from nlpsuite.runtime.device import Device
from nlpsuite.runtime.device_copy import copy_on_device

__all__ = ["SlotSession"]

Ints = npt.NDArray[np.int64]

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
# The state grows by this many positions at a time: attention reads all of it in every step.
_LENGTH_STEP = 64


class _State:
    """Memory of one state tensor for all slots, on the host or the device."""

    def __init__(self, device: Device, dtype: type, dims: list[int | str]) -> None:
        self._device, self._dtype, self._dims = device, dtype, dims
        self._host: npt.NDArray[Any] | None = None
        self._value: Any = None
        self.shape: tuple[int, ...] = ()
        self.recurrent = "cache_length" not in dims
        # The first positions of one slot are contiguous.
        self.divisible = dims[1:2] == ["cache_length"]

    def _shape_of(self, slots: int, length: int) -> tuple[int, ...]:
        sizes = {"batch": slots, "cache_length": length}
        return tuple(sizes.get(d, 0) if isinstance(d, str) else d for d in self._dims)

    def bytes_of(self, slots: int, length: int) -> int:
        """Bytes for so many slots of so many positions."""
        return math.prod(self._shape_of(slots, length)) * np.dtype(self._dtype).itemsize

    def allocate(self, slots: int, length: int) -> None:
        """Grow, preserving the content. New memory is zeroed, since masked garbage could be NaN."""
        shape = self._shape_of(slots, length)
        fresh: npt.NDArray[Any] = np.zeros(shape, self._dtype)
        if self.shape:
            with self.on_host() as old:
                fresh[tuple(slice(0, size) for size in old.shape)] = old
        self.shape = shape
        if self._device.kind == "cpu":
            self._host = fresh
        else:
            import onnxruntime

            self._value = onnxruntime.OrtValue.ortvalue_from_numpy(fresh, self._device.kind, 0)

    def release(self) -> None:
        """Free the memory."""
        self.shape, self._host, self._value = (), None, None

    @contextmanager
    def on_host(self) -> Iterator[npt.NDArray[Any]]:
        """The whole state as an array; changes are copied to the device at the end of the block."""
        if self._host is not None:
            yield self._host
        else:
            array = self._value.numpy()
            yield array
            self._value.update_inplace(array)

    def bind(self, binding: Any, source: str, target: str, first: int, count: int, length: int) -> None:
        """Bind slots ``first`` to ``first + count``, one slot alone with its first ``length`` positions only."""
        rest = (length, *self.shape[2:]) if count == 1 and self.divisible else self.shape[1:]
        place = (self._device.kind, 0, self._dtype, (count, *rest), self._address(first))
        binding.bind_input(source, *place)
        binding.bind_output(target, *place)

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` positions of a slot to another; a recurrent state is copied whole."""
        if self._host is not None:
            part = ... if self.recurrent else (..., slice(length), slice(None))
            self._host[target][part] = self._host[source][part]
            return
        shape = (length, *self.shape[2:]) if self.divisible else self.shape[1:]
        copy_on_device(self._device, self._dtype, shape, self._address(source), self._address(target))

    def _address(self, slot: int) -> int:
        base: int = self._host.ctypes.data if self._host is not None else self._value.data_ptr()
        return base + slot * int(np.prod(self.shape[1:])) * np.dtype(self._dtype).itemsize


class SlotSession:
    """Runs a slots graph.

    Args:
        graph: the ONNX file, its external data beside it.
        device: the device to run on.
        threads: CPU threads per run; 0 uses every core.

    Raises:
        BundleCorruptError: onnxruntime can't load the graph.
        DeviceUnavailableError: the device's provider failed to start.
    """

    def __init__(self, graph: Path, device: Device, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its warnings would reach the user's terminal
        # More threads would only cost memory.
        options.intra_op_num_threads = min(threads, 4 * (os.cpu_count() or 1))
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph), options, providers=device.providers, enable_fallback=0
            )
        except Exception as error:
            if device.kind != "cpu":
                raise DeviceUnavailableError(
                    f"The model can't be loaded on {device.kind}: {error}", hint="Use --device cpu."
                ) from None
            raise BundleCorruptError(f"onnxruntime can't load {graph}: {error}") from None
        if self._session.get_providers()[0] != device.provider:
            raise DeviceUnavailableError(
                f"onnxruntime did not start {device.provider}.",
                hint="Use --device cpu, or see `nlpsuite doctor`.",
            )
        self.device = device
        self._states: dict[str, _State] = {}
        for value in self._session.get_inputs():
            if value.name.startswith("cache."):
                self._states[value.name] = _State(device, _DTYPES[value.type], value.shape)
        self.recurrent = any(state.recurrent for state in self._states.values())
        [logits] = [value for value in self._session.get_outputs() if value.name == "logits"]
        self.vocabulary, self._logits_dtype = int(logits.shape[-1]), _DTYPES[logits.type]
        self.slots = self.length = 0
        self._bindings: dict[tuple[int, int, int], Any] = {}

    @property
    def position_bytes(self) -> int:
        """Bytes of the state that a slot needs for each of its positions; 0 for a recurrent one."""
        return sum(state.bytes_of(1, 1) for state in self._states.values() if not state.recurrent)

    @property
    def state_bytes(self) -> int:
        """Bytes of all slots' states."""
        return sum(state.bytes_of(self.slots, self.length) for state in self._states.values())

    def reserve(self, slots: int, length: int) -> None:
        """Grow to at least ``slots`` rows of ``length`` positions, preserving the content.

        Updates ``self.slots`` and ``self.length``.
        """
        slots = max(slots, self.slots)
        length = max(_rounded(length), self.length)
        if (slots, length) == (self.slots, self.length):
            return
        for state in self._states.values():
            state.allocate(slots, length)
        self.slots, self.length = slots, length
        self._bindings.clear()

    def release(self) -> None:
        """Forget all rows and free their memory."""
        for state in self._states.values():
            state.release()
        self.slots = self.length = 0
        self._bindings.clear()

    def copy_slot(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` positions of a slot's state to another slot.

        A recurrent state is copied whole: it stands after ``length`` tokens, or not at all.
        """
        for state in self._states.values():
            state.copy(source, target, length)

    def read_state(self, slot: int, start: int, end: int) -> list[npt.NDArray[Any]]:
        """Copies of a slot's state at the positions from ``start`` to ``end``; of a recurrent state, all of it."""
        copies = []
        for state in self._states.values():
            with state.on_host() as array:
                copies.append((array[slot] if state.recurrent else array[slot][..., start:end, :]).copy())
        return copies

    def write_state(self, slot: int, start: int, copies: Sequence[npt.NDArray[Any]]) -> None:
        """Write what ``read_state`` gave to the positions from ``start`` on."""
        for state, copy in zip(self._states.values(), copies):
            with state.on_host() as array:
                if state.recurrent:
                    array[slot] = copy
                else:
                    array[slot][..., start : start + copy.shape[-2], :] = copy

    @contextmanager
    def rolled_back(self, first: int, count: int) -> Iterator[None]:
        """Restore the state of the slots from ``first`` to ``first + count`` at the end of the block.

        Free for a cache, which is rolled back by overwriting it.
        """
        slots = slice(first, first + count)
        saved = {}
        for name, state in self._states.items():
            if state.recurrent:
                with state.on_host() as array:
                    saved[name] = array[slots].copy()
        yield
        for name, before in saved.items():
            with self._states[name].on_host() as array:
                array[slots] = before

    def run(
        self,
        input_ids: Ints,
        write_indices: Ints,
        logit_indices: Ints,
        first: int = 0,
        lengths: Ints | None = None,
    ) -> npt.NDArray[np.float32]:
        """Run slots ``first`` to ``first + B`` over S new tokens each.

        Args:
            input_ids: (B, S).
            write_indices: (B,) number of tokens each slot has seen; its state is overwritten from there.
            logit_indices: (B, K) positions among the S to return logits for.
            lengths: (B,) number of real tokens among the S; None means all. Padding never reaches a
                recurrent state; in a cache it is written past the row's end.

        Returns:
            logits (B, K, V), float32.
        """
        count, new = input_ids.shape
        inside = 0 <= first <= self.slots - count and int(write_indices.min()) >= 0
        if not inside or int(write_indices.max()) + new > self.length:
            raise ValueError(
                f"slots {first}+{count} or positions {write_indices.max()}+{new} were not reserved"
            )
        binding = self._binding(first, count, int(write_indices.max()) + new)
        inputs = {"input_ids": input_ids, "write_indices": write_indices, "logit_indices": logit_indices}
        if self.recurrent:
            inputs["sequence_lengths"] = np.full(count, new) if lengths is None else lengths
        # Referenced until the run ends: onnxruntime doesn't copy them.
        held = {name: np.ascontiguousarray(array, np.int64) for name, array in inputs.items()}
        for name, array in held.items():
            binding.bind_cpu_input(name, array)
        # Into memory of ours: asking the binding for it would convert every state into an object first.
        logits = np.empty((*logit_indices.shape, self.vocabulary), self._logits_dtype)
        binding.bind_output("logits", "cpu", 0, self._logits_dtype, logits.shape, logits.ctypes.data)
        self._session.run_with_iobinding(binding)
        return logits.astype(np.float32, copy=False)

    def _binding(self, first: int, count: int, needed: int) -> Any:
        """The IO binding of a range of slots, its states bound once per range and, of one slot, per length."""
        length = min(_rounded(needed), self.length) if count == 1 else self.length
        key = (first, count, length)
        if key not in self._bindings:
            binding = self._session.io_binding()
            for source, state in self._states.items():
                state.bind(binding, source, "updated." + source.removeprefix("cache."), first, count, length)
            self._bindings[key] = binding
        return self._bindings[key]


def _rounded(length: int) -> int:
    """Up to a multiple of the step in which states grow."""
    return -(-length // _LENGTH_STEP) * _LENGTH_STEP
