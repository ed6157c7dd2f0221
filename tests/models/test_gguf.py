"""The GGUF reader: what it reads, and that it survives any damage."""

from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import finish_gguf

from nlpsuite.errors import (
    BundleCorruptError,
    ModelNotFoundError,
    NlpsuiteError,
    UnsupportedModelError,
)
from nlpsuite.models.gguf import GGUFFile

MATRIX = np.linspace(-1, 1, 4 * 64, dtype=np.float32).reshape(4, 64)


def write_sample(path: Path) -> Path:
    """A small file with every kind of metadata and several storage types."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("s", "grüß dich")
    writer.add_bool("b", True)
    writer.add_int32("i", -7)
    writer.add_uint64("u", 1 << 40)
    writer.add_float32("f", 0.5)
    writer.add_float64("d", 1e-9)
    writer.add_array("strings", ["a", "", "é"])
    writer.add_array("numbers", [1, -2, 3])
    writer.add_array("flags", [True, False])
    writer.add_array("floats", [0.25, -0.5])
    writer.add_tensor("f32", MATRIX)
    writer.add_tensor("f16", MATRIX.astype(np.float16))
    writer.add_tensor("vector", MATRIX[0])
    for kind in ("Q8_0", "Q4_1", "BF16"):
        quantised = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(kind, gguf.quantize(MATRIX, quantised), raw_dtype=quantised)
    finish_gguf(writer)
    return path


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("gguf") / "sample.gguf")


def header(*, version: int = 3, tensors: int = 0, values: int = 0, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, values) + rest


def opened(tmp_path: Path, content: bytes) -> GGUFFile:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    return GGUFFile.open(path)


def test_metadata_are_plain_python_values(sample: Path) -> None:
    metadata = GGUFFile.open(sample).metadata
    assert metadata == {
        "general.architecture": "llama",
        "s": "grüß dich",
        "b": True,
        "i": -7,
        "u": 1 << 40,
        "f": 0.5,
        "d": 1e-9,
        "strings": ["a", "", "é"],
        "numbers": [1, -2, 3],
        "flags": [True, False],
        "floats": [0.25, -0.5],
    }
    assert type(metadata["b"]) is bool
    assert type(metadata["flags"][0]) is bool


def test_shapes_are_in_the_order_of_numpy(sample: Path) -> None:
    tensors = GGUFFile.open(sample).tensors
    assert tensors["f32"].shape == (4, 64)
    assert tensors["vector"].shape == (64,)
    assert (tensors["Q4_1"].type, tensors["Q4_1"].nbytes) == ("Q4_1", 4 * 2 * 20)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("f32", 0), ("f16", 1e-3), ("BF16", 4e-3), ("Q8_0", 5e-3), ("Q4_1", 2e-2)]
)
def test_tensors_are_dequantised_into_memory_of_their_own(sample: Path, name: str, tolerance: float) -> None:
    values = GGUFFile.open(sample).tensor(name)
    assert values.dtype == np.float32
    assert values.flags.writeable
    np.testing.assert_allclose(values, MATRIX, atol=tolerance)


def test_every_type_that_is_accepted_can_be_dequantised() -> None:
    from nlpsuite.models import gguf as reader

    types = reader._tensor_types()
    assert len(types) >= 24
    for number, (name, block, nbytes) in types.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name, *gguf.GGML_QUANT_SIZES[kind]) == (name, block, nbytes)
        assert gguf.dequantize(np.zeros((1, nbytes), np.uint8), kind).shape == (1, block)


def test_a_missing_tensor_is_named(sample: Path) -> None:
    with pytest.raises(BundleCorruptError, match="no tensor absent"):
        GGUFFile.open(sample).tensor("absent")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        GGUFFile.open(tmp_path / "absent.gguf")


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04 zip", b"GGUF", b"GGUF\x03"])
def test_a_file_that_is_no_gguf(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BundleCorruptError):
        opened(tmp_path, content)


def test_another_version_or_byte_order_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="version 1"):
        opened(tmp_path, header(version=1))
    with pytest.raises(UnsupportedModelError, match="big-endian"):
        opened(tmp_path, b"GGUF" + struct.pack(">IQQ", 3, 0, 0))


def test_version_2_is_read(tmp_path: Path) -> None:
    assert opened(tmp_path, header(version=2)).metadata == {}


def test_an_unknown_storage_type_is_refused(tmp_path: Path) -> None:
    entry = struct.pack("<Q1sIQIQ", 1, b"t", 1, 32, 99, 0)
    with pytest.raises(UnsupportedModelError, match="type 99"):
        opened(tmp_path, header(tensors=1, rest=entry + bytes(64)))


HOSTILE = {
    "tensor count": header(tensors=1 << 60),
    "value count": header(values=(1 << 64) - 1),
    "string length": header(values=1, rest=struct.pack("<Q", 1 << 62) + bytes(99)),
    "array length": header(values=1, rest=struct.pack("<Q1sIIQ", 1, b"k", 9, 4, 1 << 61) + bytes(99)),
    "string array": header(values=1, rest=struct.pack("<Q1sIIQ", 1, b"k", 9, 8, 1 << 40) + bytes(99)),
    "nested array": header(values=1, rest=struct.pack("<Q1sIIQ", 1, b"k", 9, 9, 1) + bytes(99)),
    "value type": header(values=1, rest=struct.pack("<Q1sI", 1, b"k", 77) + bytes(99)),
    "boolean": header(values=1, rest=struct.pack("<Q1sIB", 1, b"k", 7, 2) + bytes(99)),
    "not UTF-8": header(values=1, rest=struct.pack("<Q1sIB", 1, b"\xff", 7, 1) + bytes(99)),
    "same key twice": header(values=2, rest=struct.pack("<Q1sIB", 1, b"k", 7, 1) * 2),
    "dimensions": header(tensors=1, rest=struct.pack("<Q1sI", 1, b"t", 1 << 31) + bytes(99)),
    "no elements": header(tensors=1, rest=struct.pack("<Q1sIQIQ", 1, b"t", 1, 0, 0, 0) + bytes(99)),
    "shape": header(tensors=1, rest=struct.pack("<Q1sIQQIQ", 1, b"t", 2, 1 << 60, 1 << 60, 0, 0) + bytes(99)),
    "offset": header(tensors=1, rest=struct.pack("<Q1sIQIQ", 1, b"t", 1, 4, 0, 1 << 63) + bytes(99)),
    "half a block": header(tensors=1, rest=struct.pack("<Q1sIQIQ", 1, b"t", 1, 16, 8, 0) + bytes(99)),
    "alignment": header(values=1, rest=struct.pack("<Q17sII", 17, b"general.alignment", 4, 3) + bytes(99)),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_without_large_allocations(tmp_path: Path, content: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BundleCorruptError):
            opened(tmp_path, content)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def read_everything(path: Path) -> None:
    try:
        file = GGUFFile.open(path)
        for name in file.tensors:
            file.tensor(name)
    except NlpsuiteError as error:
        assert error.message


def test_any_truncation_is_an_error(sample: Path, tmp_path: Path) -> None:
    content = sample.read_bytes()
    # The writer pads the end of the file; what counts is the last byte of the last tensor.
    end = max(info.offset + info.nbytes for info in GGUFFile.open(sample).tensors.values())
    for length in [*range(min(end, 1600)), end - 1]:
        with pytest.raises(NlpsuiteError):
            opened(tmp_path, content[:length])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_give_an_error_or_a_value(sample: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(sample.read_bytes())
    places = st.integers(0, len(content) - 1) | st.integers(0, 1200)  # most of the header lies here
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        content[place] = byte
    path = tmp_path / "flipped.gguf"
    path.write_bytes(content)
    read_everything(path)


@pytest.mark.model
def test_the_default_model_opens_quickly(default_gguf: Path) -> None:
    start = time.perf_counter()
    file = GGUFFile.open(default_gguf)
    assert time.perf_counter() - start < 2  # 0.2 s on an idle machine
    assert len(file.metadata["tokenizer.ggml.tokens"]) == 49_152
    assert len(file.tensors) == 272


@pytest.mark.model
def test_the_default_model_equals_the_reference_reader(default_gguf: Path) -> None:
    ours = GGUFFile.open(default_gguf)
    for tensor in gguf.GGUFReader(default_gguf).tensors[:12]:
        expected = gguf.dequantize(tensor.data, tensor.tensor_type)
        np.testing.assert_array_equal(ours.tensor(tensor.name), expected)
