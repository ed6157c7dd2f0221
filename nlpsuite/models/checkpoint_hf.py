"""A checkpoint in a Hugging Face directory with safetensors weights.

GPT-2's checkpoints store their matrices as (inputs, outputs), and their names may lack the
prefix ``transformer.``; both are converted to what ``ModelConfig.parameter_shapes`` says.
Weights in pickles (``pytorch_model.bin`` and the like) are never opened: unpickling runs
arbitrary code.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import BundleCorruptError, ModelUnavailableError, UnsupportedModelError
from nlpsuite.models.checkpoint_base import Checkpoint, RawTensor, check_tensors
from nlpsuite.models.config import GPT2Config, ModelConfig, config_from_hf
from nlpsuite.models.hf_files import DAMAGED, read_json
from nlpsuite.models.hf_quantization import (
    ACTIVATION_SCALES,
    FP8,
    WEIGHT_SCALES,
    block_size,
    scaled,
    widen_fp8,
)
from nlpsuite.models.hf_tokenizer import has_tokenizer, tokenizer_files
from nlpsuite.models.mapped import release_pages

__all__ = ["DTYPES", "GPT2_TRANSPOSED", "SafetensorsCheckpoint", "widen_bf16"]

GPT2_TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
"""Name endings of the GPT-2 matrices that Hugging Face checkpoints store as (inputs, outputs)."""

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""The storage types that are read, as numpy types; see ``widen_bf16``."""
_SAMPLE_BYTES = 1 << 16
# Old checkpoints store these although they follow from the configuration: rotary frequencies, causal masks.
_BUFFERS = re.compile(
    r".*\.rotary_emb\.inv_freq|(transformer\.h\.\d+\.attn|gpt_neox\.layers\.\d+\.attention)\.(bias|masked_bias)"
)


class _Stored(NamedTuple):
    """A tensor in a safetensors file; ``start`` and ``end`` count bytes of ``data``.

    Stored in the order of ``shape``, or of ``shape`` reversed if ``transposed``.
    """

    data: npt.NDArray[np.uint8]
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int
    transposed: bool = False


class SafetensorsCheckpoint(Checkpoint):
    """A directory with config.json, tokenizer.json and model.safetensors, whole or in shards.

    See ``Checkpoint``. Stored types: F32, F16, BF16, and 8-bit floats with scales (see ``hf_quantization``).

    Raises:
        UnsupportedModelError: another architecture or storage type; no safetensors, no tokenizer.
        BundleCorruptError: damaged, or a tensor is missing or has the wrong shape.
        ModelUnavailableError: a file can't be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = _name(path)
        self.license = _license(path)
        self.revision = _revision(path)
        self.config, quantization = _config(path)
        self._block = None if quantization is None else block_size(path / "config.json", quantization)
        if not has_tokenizer(path):
            raise UnsupportedModelError(
                f"{path} has no tokenizer.json and no tokenizer.model.",
                hint="Save the model's fast tokenizer into the directory "
                "(transformers: AutoTokenizer.from_pretrained(...).save_pretrained(...)).",
            )
        self._weights, tensors = _open_weights(path)
        if isinstance(self.config, GPT2Config):
            tensors = {_gpt2_name(name): _gpt2_matrix(name, stored) for name, stored in tensors.items()}
        self._scales = dict(_scales(self.config, tensors))
        tensors = dict(_parts(self.config, tensors))
        check_tensors(path, self.config, {name: stored.shape for name, stored in tensors.items()})
        self._tensors = {name: tensors.pop(name) for name in self.tensor_names()}
        for name, stored in tensors.items():
            if not _BUFFERS.fullmatch(name) and not self._repeats_embedding(name, stored):
                raise UnsupportedModelError(
                    f"{path}: tensor {name} is not part of a plain {self.config.to_hf()['architectures'][0]}."
                )
        for name, stored in self._tensors.items():
            if stored.dtype not in DTYPES and stored.dtype not in FP8:
                raise UnsupportedModelError(
                    f"{path}: tensor {name} is stored as {stored.dtype}.",
                    hint=f"Supported: {', '.join([*DTYPES, *FP8])}.",
                )

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        stored = self._stored(name)
        floats = _floats(stored)
        if stored.transposed:
            floats = np.ascontiguousarray(floats.T)
        if name not in self._scales:
            return floats
        scale, first, outputs = self._scales[name]
        return scaled(name, floats, _floats(scale), self._block, first=first, outputs=outputs)

    def rows(self, name: str, which: slice | npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        stored = self._stored(name)
        if stored.transposed or name in self._scales:
            return self.tensor(name)[which]
        return _floats(stored, which)

    def quantized(self, name: str) -> RawTensor | None:
        self._stored(name)
        return None

    def tokenizer_files(self) -> dict[str, str]:
        return tokenizer_files(self._path, self.config)

    def source_files(self) -> list[Path]:
        return sorted(self._weights)

    def _stored(self, name: str) -> _Stored:
        if name not in self._tensors:
            raise BundleCorruptError(f"{self._path} has no tensor {name}.")
        return self._tensors[name]

    def _repeats_embedding(self, name: str, head: _Stored) -> bool:
        """Whether this is a tied head, stored although it is a copy of the embedding."""
        if name != "lm_head.weight" or self.config.tied_head is None:
            return False
        embedding = self._tensors[self.config.tied_head]
        if head[1:3] != embedding[1:3]:  # type or shape
            return False
        # A sample, since opening reads no weights; an untied head differs everywhere.
        size = min(head.end - head.start, _SAMPLE_BYTES)
        return np.array_equal(
            head.data[head.start : head.start + size],
            embedding.data[embedding.start : embedding.start + size],
        )


def _scales(
    config: ModelConfig, tensors: dict[str, _Stored]
) -> Iterator[tuple[str, tuple[_Stored, int, int | None]]]:
    """Remove the scales of 8-bit weights from the tensors.

    Yields:
        Of each weight its name, the scale, and of one that is stored with others where it begins among their rows
        and how many those are.
    """
    stacks, shapes = config.stacked(), dict(config.parameter_shapes())
    for name in list(tensors):
        if name.endswith(ACTIVATION_SCALES):
            del tensors[name]
        for ending in WEIGHT_SCALES:
            weight = name.removesuffix(ending)
            if weight != name and weight in tensors and tensors[weight].dtype in FP8:
                scale, first = tensors.pop(name), 0
                parts = stacks.get(weight, ())
                outputs = sum(shapes[part][0] for part in parts)
                for part in parts:
                    yield part, (scale, first, outputs)
                    first += shapes[part][0]
                if not parts:
                    yield weight, (scale, 0, None)
                break


def _floats(stored: _Stored, which: slice | npt.NDArray[np.integer] = slice(None)) -> npt.NDArray[np.float32]:
    """Rows of a tensor as it is stored, in float32: a copy in any case, so that nothing keeps the file mapped."""
    data = stored.data[stored.start : stored.end]
    shape = stored.shape[::-1] if stored.transposed else stored.shape
    if stored.dtype in FP8:
        floats = widen_fp8(data, stored.dtype).reshape(shape)[which]
    else:
        values = data.view(DTYPES[stored.dtype]).reshape(shape)[which]
        floats = widen_bf16(values) if stored.dtype == "BF16" else values.astype(np.float32)
    release_pages(stored.data, stored.start, stored.end)
    return np.asarray(floats)


def widen_bf16(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """bfloat16, which numpy lacks, as float32: its bits are the upper half."""
    wide = values.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def _gpt2_name(name: str) -> str:
    """The name with ``transformer.`` in front, as GPT2LMHeadModel saves it and GPT2Model doesn't."""
    return name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}"


def _gpt2_matrix(name: str, stored: _Stored) -> _Stored:
    """Turn the shape of a matrix of a layer to (outputs, inputs)."""
    if name.endswith(GPT2_TRANSPOSED) and len(stored.shape) == 2:
        return stored._replace(shape=stored.shape[::-1], transposed=True)
    return stored


def _parts(config: ModelConfig, tensors: Mapping[str, _Stored]) -> Iterator[tuple[str, _Stored]]:
    """The tensors, with those that stack several parameters taken apart by rows."""
    stacks = config.stacked()
    shapes = dict(config.parameter_shapes()) if stacks else {}
    for name, stored in tensors.items():
        rows = [shapes[part] for part in stacks.get(name, ())]
        # One of the wrong shape is reported under its own name.
        if not rows or stored.shape != (sum(count for count, _ in rows), rows[0][1]):
            yield name, stored
            continue
        row_bytes = (stored.end - stored.start) // stored.shape[0]
        start = stored.start
        for part, shape in zip(stacks[name], rows):
            end = start + shape[0] * row_bytes
            yield part, stored._replace(shape=shape, start=start, end=end)
            start = end


def _name(path: Path) -> str:
    """The directory's name; owner/name for a directory in the cache of huggingface_hub."""
    resolved = path.resolve()
    for part in reversed(resolved.parts):
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/")
    return resolved.name


def _revision(path: Path) -> str:
    """The commit, for a directory in the cache of huggingface_hub."""
    parent, name = path.parent.name, path.name
    return name if parent == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", name) else ""


def _license(path: Path) -> str | None:
    """The license in the front matter of the model card, if there is one."""
    card = path / "README.md"
    if not card.is_file():
        return None
    front_matter = re.match(
        r"---\s*\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL
    )
    license = front_matter and re.search(r"^license:\s*([\w.+-]+)\s*$", front_matter[1], re.MULTILINE)
    return license[1] if license else None


def _config(path: Path) -> tuple[ModelConfig, Any]:
    """The configuration, and what config.json says about quantised weights."""
    if not (path / "config.json").is_file():
        files = sorted(file.name for file in path.glob("*.gguf"))
        hint = (
            f"Name the file itself: {path / files[0]}." if files else "Name a Hugging Face model directory."
        )
        raise UnsupportedModelError(f"{path} has no config.json.", hint=hint)
    try:
        entries = read_json(path / "config.json")
        quantization = entries.pop("quantization_config", None)
        config = config_from_hf(entries)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        raise BundleCorruptError(f"{path / 'config.json'} has a value of the wrong type: {error}.") from None
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        # Annotations are strings here; fields of other types were checked when read.
        simple = field.type in ("int", "float", "bool")
        if simple and (type(value).__name__ != field.type or not math.isfinite(value)):
            raise BundleCorruptError(
                f"{path / 'config.json'}: {field.name} is {value!r}, must be {field.type}."
            )
    return config, quantization


def _open_weights(path: Path) -> tuple[list[Path], dict[str, _Stored]]:
    """The files that hold the weights (an index among them), and the tensors by name."""
    if (path / _SINGLE).is_file():
        return [path / _SINGLE], _open_file(path / _SINGLE)
    if not (path / _INDEX).is_file():
        pickles = [file.name for pattern in _PICKLES for file in sorted(path.glob(pattern))]
        raise UnsupportedModelError(
            f"{path} has no {_SINGLE}" + (f", only {pickles[0]}." if pickles else "."),
            hint="Pickled weights can run code and are never opened: convert them to safetensors "
            "(transformers: model.save_pretrained(..., safe_serialization=True))."
            if pickles
            else "Name a directory with the model's weights as safetensors.",
        )
    weight_map = read_json(path / _INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BundleCorruptError(f"{path / _INDEX} has no weight_map.", hint=DAMAGED)
    shards: dict[str, dict[str, _Stored]] = {}
    tensors = {}
    for name, shard in weight_map.items():
        # The index comes from outside: it may only name files beside itself.
        if not isinstance(shard, str) or not re.fullmatch(r"[\w-][\w.-]*\.safetensors", shard):
            raise BundleCorruptError(
                f"{path / _INDEX} names the file {shard!r}, which is not a plain file name."
            )
        if shard not in shards:
            shards[shard] = _open_file(path / shard)
        if name not in shards[shard]:
            raise BundleCorruptError(f"{path / shard} lacks tensor {name}.", hint=DAMAGED)
        tensors[name] = shards[shard][name]
    return [path / _INDEX, *(path / shard for shard in shards)], tensors


def _open_file(path: Path) -> dict[str, _Stored]:
    """Map a safetensors file; the library checks its header first."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy"):
            pass
        data = np.memmap(path, np.uint8, mode="r")
    except safetensors.SafetensorError as error:
        raise BundleCorruptError(f"{path} is not a valid safetensors file: {error}.", hint=DAMAGED) from None
    except FileNotFoundError:
        raise BundleCorruptError(f"{path} is missing.", hint=DAMAGED) from None
    except OSError as error:
        raise ModelUnavailableError(f"Can't read {path}: {error}.", hint="Check the permissions.") from error
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8:start].tobytes())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = _Stored(data, entry["dtype"], tuple(entry["shape"]), start + begin, start + end)
    return tensors
