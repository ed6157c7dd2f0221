"""Reading GGUF files: metadata and tensors, straight from a memory map.

``gguf.GGUFReader`` builds numpy views for every string and takes seconds on a vocabulary
of 49,000 tokens; this reader takes a fraction of that and doesn't trust the file:
each length is checked against the remaining bytes before anything is allocated.

Source: the GGUF specification (ggml/docs/gguf.md); the block sizes are those of ggml's types.
"""

from __future__ import annotations

import contextlib
import functools
import math
import mmap
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import (
    BundleCorruptError,
    ModelNotFoundError,
    ModelUnavailableError,
    UnsupportedModelError,
)
from nlpsuite.models.mapped import release_pages

__all__ = ["UNQUANTIZED", "GGUFFile", "Rows", "TensorInfo"]

Rows = slice | npt.NDArray[np.integer]
"""Which rows of a tensor."""

UNQUANTIZED = ("F32", "F16", "BF16")
"""The storage types without blocks."""

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_DIMENSIONS = 4
# Far above any real file (a vocabulary of 256k tokens with 512k merges has 1.3 million
# items; a chat template some 10 kB), low enough that a hostile one can't exhaust memory.
_MAX_ITEMS = 1 << 23
_MAX_STRING = 1 << 24

_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}


class TensorInfo(NamedTuple):
    """Where a tensor lies in the file.

    Attributes:
        name: the tensor's name, such as ``blk.0.attn_q.weight``.
        shape: in numpy's order, the reverse of ggml's; (rows, columns) for a matrix.
        type: ggml's name of the storage type, such as ``Q4_1``.
        offset: first byte, from the start of the file.
        nbytes: stored size in bytes.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    nbytes: int


class GGUFFile:
    """A GGUF file of version 2 or 3, little endian, memory-mapped.

    Attributes:
        path: the file.
        metadata: key -> plain Python value; arrays are lists.
        tensors: name -> TensorInfo, in the order of the file.
    """

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self._data = data
        self.metadata, self.tensors = _parse(path, data)

    @classmethod
    def open(cls, path: Path) -> GGUFFile:
        """Map the file and read its header.

        Raises:
            ModelNotFoundError: there is no such file.
            ModelUnavailableError: the file can't be read.
            BundleCorruptError: not a GGUF file, truncated or inconsistent.
            UnsupportedModelError: another version, byte order or tensor type.
        """
        try:
            with path.open("rb") as file:
                if file.read(4) != _MAGIC:  # also keeps an empty file from mmap, which can't map it
                    raise BundleCorruptError(
                        f"{path} is not a GGUF file.", hint="Check the download, or name another file."
                    )
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise ModelNotFoundError(f"No model file {path}.", hint="Check the path.") from None
        except OSError as error:
            raise ModelUnavailableError(
                f"Can't read {path}: {error.strerror or error}.", hint="Check the permissions."
            ) from error
        return cls(path, data)

    def tensor(self, name: str, part: Rows = slice(None)) -> npt.NDArray[np.float32]:
        """The tensor dequantised to float32, in memory of its own, of shape ``tensors[name].shape``.

        Args:
            part: these of its rows only.

        Raises:
            BundleCorruptError: the file has no tensor of that name.
        """
        rows = self._rows(name)[part]
        info = self.tensors[name]
        import gguf

        # A damaged file may have infinite or NaN scales, which the caller checks.
        with np.errstate(all="ignore"):
            values = gguf.dequantize(rows, gguf.GGMLQuantizationType[info.type])
        # F32 comes back as a read-only view of the map: copy it.
        values = values.astype(np.float32, copy=not values.flags.writeable).reshape(
            info.shape if len(rows) == math.prod(info.shape[:-1]) else (len(rows), *info.shape[1:])
        )
        release_pages(self._data, info.offset, info.offset + info.nbytes)
        return values

    def rows(self, name: str, part: Rows = slice(None)) -> npt.NDArray[np.uint8]:
        """The tensor's bytes as they are stored, (rows, bytes per row), in memory of their own.

        Args:
            part: these of its rows only.

        Raises:
            BundleCorruptError: the file has no tensor of that name.
        """
        info, rows = self.tensors.get(name), self._rows(name)[part].copy()
        assert info is not None  # else ``_rows`` has refused it
        release_pages(self._data, info.offset, info.offset + info.nbytes)
        return rows

    def _rows(self, name: str) -> npt.NDArray[np.uint8]:
        """A read-only view of the map."""
        if name not in self.tensors:
            raise BundleCorruptError(f"{self.path} has no tensor {name}.", hint="The model is incomplete.")
        info = self.tensors[name]
        raw = np.frombuffer(self._data, np.uint8, count=info.nbytes, offset=info.offset)
        return raw.reshape(math.prod(info.shape[:-1]), -1)


class _Header:
    """A cursor over the header that never reads past the end of the file."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.size = len(data)
        self.position = 0
        self.items_left = _MAX_ITEMS

    def corrupt(self, what: str) -> BundleCorruptError:
        return BundleCorruptError(
            f"{self.path}: {what} (at byte {self.position} of {self.size}).",
            hint="The file is damaged or truncated: download it again.",
        )

    def advance(self, count: int) -> int:
        """Move past ``count`` bytes and return where they start."""
        start = self.position
        if count > self.size - start:
            raise self.corrupt("the file ends too early")
        self.position = start + count
        return start

    def scalar(self, code: str) -> Any:
        layout = "<" + code
        return struct.unpack_from(layout, self.data, self.advance(struct.calcsize(layout)))[0]

    def string(self) -> str:
        length = self.scalar("Q")
        if length > _MAX_STRING:
            raise self.corrupt(f"a string claims {length} bytes")
        start = self.advance(length)
        try:
            return self.data[start : start + length].decode()
        except UnicodeDecodeError:
            raise self.corrupt("a string is not UTF-8") from None

    def count(self, what: str, least_bytes: int) -> int:
        """A 64-bit count of things that take at least ``least_bytes`` each."""
        count: int = self.scalar("Q")
        if count * least_bytes > self.size - self.position:
            raise self.corrupt(f"{count} {what} don't fit into the file")
        self.items_left -= count
        if self.items_left < 0:
            raise self.corrupt(f"the header claims more than {_MAX_ITEMS} items")
        return count

    def value(self) -> Any:
        kind = self.scalar("I")
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self.array()
        if kind not in _SCALARS:
            raise self.corrupt(f"unknown metadata type {kind}")
        value = self.scalar(_SCALARS[kind])
        return self.booleans([value])[0] if kind == _BOOL else value

    def array(self) -> list[Any]:
        kind = self.scalar("I")
        if kind == _STRING:
            return [self.string() for _ in range(self.count("strings", 8))]
        if kind not in _SCALARS:  # nested arrays too: ggml itself reads none
            raise self.corrupt(f"unknown type {kind} of array elements")
        layout = np.dtype("<" + _SCALARS[kind])
        count = self.count("array elements", layout.itemsize)
        start = self.advance(count * layout.itemsize)
        values: list[Any] = np.frombuffer(self.data, layout, count, start).tolist()
        return self.booleans(values) if kind == _BOOL else values

    def booleans(self, values: list[int]) -> list[bool]:
        if not {0, 1}.issuperset(values):
            raise self.corrupt("a boolean is neither 0 nor 1")
        return [value == 1 for value in values]


def _parse(path: Path, data: mmap.mmap) -> tuple[dict[str, Any], dict[str, TensorInfo]]:
    """Read the whole header; see ``GGUFFile.open`` for the errors."""
    header = _Header(path, data)
    header.advance(len(_MAGIC))
    version = header.scalar("I")
    if version not in _VERSIONS:
        # A big-endian file shows its version with the bytes reversed.
        big_endian = int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS
        what = "is a big-endian GGUF file" if big_endian else f"has GGUF version {version}"
        raise UnsupportedModelError(
            f"{path} {what}.",
            hint="Supported: little-endian GGUF, versions 2 and 3. Convert the model again.",
        )
    # The smallest tensor entry has an empty name and one dimension; the smallest key-value pair one byte.
    tensor_count = header.count("tensors", 8 + 4 + 8 + 4 + 8)
    value_count = header.count("metadata values", 8 + 4 + 1)

    metadata: dict[str, Any] = {}
    for _ in range(value_count):
        key = header.string()
        if key in metadata:
            raise header.corrupt(f"metadata key {key!r} appears twice")
        metadata[key] = header.value()
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 20:
        raise header.corrupt(f"general.alignment is {alignment!r}, must be a power of two")

    entries = [_tensor_entry(header) for _ in range(tensor_count)]
    data_start = -(-header.position // alignment) * alignment
    tensors: dict[str, TensorInfo] = {}
    for entry in entries:
        info = entry._replace(offset=data_start + entry.offset)
        if info.name in tensors:
            raise header.corrupt(f"tensor {info.name!r} appears twice")
        if info.offset % alignment or info.offset + info.nbytes > header.size:
            raise header.corrupt(f"the data of tensor {info.name!r} lie outside the file")
        tensors[info.name] = info
    return metadata, tensors


@functools.cache
def _tensor_types() -> dict[int, tuple[str, int, int]]:
    """Those of ggml's types that the gguf package can dequantise: id -> name, elements and bytes per block."""
    import gguf

    types = {}
    for kind, (elements, size) in gguf.GGML_QUANT_SIZES.items():
        with contextlib.suppress(NotImplementedError):
            gguf.dequantize(np.zeros((1, size), np.uint8), kind)
            types[kind.value] = (kind.name, elements, size)
    return types


def _tensor_entry(header: _Header) -> TensorInfo:
    """Read one tensor entry; its offset still counts from the start of the tensor data."""
    name = header.string()
    dimensions = header.scalar("I")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise header.corrupt(f"tensor {name!r} has {dimensions} dimensions")
    shape = tuple(header.scalar("Q") for _ in range(dimensions))[::-1]
    kind = header.scalar("I")
    offset = header.scalar("Q")
    types = _tensor_types()
    if kind not in types:
        raise UnsupportedModelError(
            f"{header.path}: tensor {name!r} has storage type {kind}, which is not supported.",
            hint="Update gguf (pip install -U gguf), or use a quantisation such as Q8_0, Q6_K, Q4_K_M, Q4_1 or F16.",
        )
    type_name, block, block_bytes = types[kind]
    if 0 in shape or shape[-1] % block:
        raise header.corrupt(f"tensor {name!r} of type {type_name} can't have the shape {list(shape)}")
    return TensorInfo(name, shape, type_name, offset, math.prod(shape) // block * block_bytes)
