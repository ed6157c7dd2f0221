"""Adapters: the low-rank weights of one task for one base, in one safetensors file.

For a layer ``model.layers.0.self_attn.q_proj`` the file has ``<layer>.lora_A.weight`` (r, inputs)
and ``<layer>.lora_B.weight`` (outputs, r); merged, ``<layer>.weight`` becomes W + (alpha / r) · B A
(Hu et al. 2021, arXiv:2106.09685). Matrices of 8-bit integers have ``<layer>.lora_A.scales`` (r, 1) and
``<layer>.lora_B.scales`` (outputs, 1) beside them, float16, by which the rows are multiplied. The metadata say where
the adapter came from and what it is for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import (
    BundleCorruptError,
    ModelNotFoundError,
    ModelUnavailableError,
    UnsupportedModelError,
)
from nlpsuite.files import atomic_write_bytes, sha256_file
from nlpsuite.models.adapter_info import FORMAT_VERSION, INTEGER_VERSION, AdapterInfo
from nlpsuite.models.checkpoint_base import Checkpoint
from nlpsuite.models.checkpoint_hf import DTYPES, widen_bf16
from nlpsuite.models.config import ModelConfig
from nlpsuite.models.low_rank import Pair
from nlpsuite.models.peft import (
    CONFIG_FILE,
    UNKNOWN_TO_OTHERS,
    WEIGHTS_FILE,
    peft_name,
    peft_settings,
    saved_whole,
    without_patterns,
)

if TYPE_CHECKING:
    from nlpsuite.models.gguf_lora import GGUFLora

__all__ = ["Adapter", "AdapterInfo", "fingerprint", "fingerprint_of", "save_adapter"]

_A, _B = ".lora_A.weight", ".lora_B.weight"
_WEIGHT, _SCALES = ".weight", ".scales"
_DTYPES: dict[str, npt.DTypeLike] = {**DTYPES, "I8": np.int8}
_DAMAGED = "Copy or download the file again, or train the adapter again."
_MALFORMED = (ValueError, TypeError, AttributeError, RecursionError)

Array = npt.NDArray[Any]


def fingerprint(checkpoint: Checkpoint) -> str:
    """sha256 over the sha256 sums of the files that hold a base's weights. Their names don't count.

    Reads every file: about 0.1 s for 150 MB on a CPU with SHA instructions.

    Raises:
        ModelUnavailableError: a file can't be read.
    """
    try:
        sums = [sha256_file(path) for path in checkpoint.source_files()]
    except OSError as error:
        raise ModelUnavailableError(
            f"Can't read {error.filename}: {error.strerror or error}.", hint="Check the permissions."
        ) from error
    return fingerprint_of(sums)


def fingerprint_of(sums: Iterable[str]) -> str:
    """The fingerprint of a base whose weight files have these sha256 sums."""
    return hashlib.sha256("\n".join(sorted(sums)).encode()).hexdigest()


class Adapter:
    """An opened adapter. Make one with ``Adapter.open``.

    Attributes:
        path: the file that holds the weights.
        info: what it is for.
        sha256: of everything that defines it.
        label: short name for the models it is merged into.
        names: the base's parameters that it changes.
    """

    def __init__(
        self,
        path: Path,
        info: AdapterInfo,
        sha256: str,
        pairs: Mapping[str, Pair],
        whole: Mapping[str, Array] = MappingProxyType({}),
        gguf: GGUFLora | None = None,
        *,
        retied: bool = False,
    ) -> None:
        self.path, self.info, self.sha256 = path, info, sha256
        self.label = info.task or (path.stem if gguf else path.resolve().parent.name)
        self._pairs, self._whole, self._gguf = dict(pairs), dict(whole), gguf
        self._retied = retied
        self.names = [*self._pairs, *self._whole]

    @classmethod
    def open(cls, path: Path) -> Adapter:
        """Read and check an adapter: a file or run directory of ``train adapter``, a directory that peft saved,
        or a GGUF file of llama.cpp.

        Raises:
            ModelNotFoundError: there is no such adapter.
            ModelUnavailableError: it can't be read.
            UnsupportedModelError: an unsupported kind, or a later version.
            BundleCorruptError: damaged: half a pair of matrices, shapes that don't fit, NaN.
        """
        import safetensors

        path, config_path = _locate(path)
        data = _read(path)
        if data.startswith(b"GGUF"):
            return cls._open_gguf(path, data)
        config = _read(config_path) if config_path else None
        try:
            stored = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
            tensors = {name: _array(name, entry) for name, entry in stored}
            if config_path and config is not None:
                info = AdapterInfo(**peft_settings(config_path, config))
                tensors = {peft_name(name): values for name, values in tensors.items()}
                whole = {name: tensors.pop(name) for name in saved_whole(config, tensors)}
                common, tensors = without_patterns(config, tensors)
                info = dataclasses.replace(info, **common)
            else:
                header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
                info = AdapterInfo.from_metadata(header.get("__metadata__") or {})
                tensors, whole = _dequantized(tensors), {}
        except UnsupportedModelError as error:
            raise UnsupportedModelError(
                f"The adapter {path} can't be used. {error.message}", hint=error.hint
            ) from None
        except (safetensors.SafetensorError, LookupError, *_MALFORMED) as error:
            raise _damaged(path, str(error)) from None
        digest = hashlib.sha256(data + (config or b"")).hexdigest()
        if not all(np.isfinite(values).all() for values in whole.values()):
            raise _damaged(path, "a whole tensor has values that are not finite")
        retied = config is not None and json.loads(config).get("ensure_weight_tying") is True
        return cls(path, info, digest, _pairs(path, info, tensors), whole, retied=retied)

    @classmethod
    def _open_gguf(cls, path: Path, data: bytes) -> Adapter:
        from nlpsuite.models.gguf_lora import GGUFLora

        lora = GGUFLora(path)
        known: dict[str, Any] = {
            "rank": lora.rank,
            "alpha": lora.alpha,
            "base": lora.base,
            "created_by": "llama.cpp",
        }
        info = AdapterInfo(**{**dict.fromkeys(UNKNOWN_TO_OTHERS, ""), **known})
        return cls(path, info, hashlib.sha256(data).hexdigest(), lora.pairs, gguf=lora)

    def fitted(self, config: ModelConfig) -> Adapter:
        """The same with the parameters' names of this model: GGUF names translated, stacked matrices taken apart.

        Raises:
            UnsupportedModelError: it replaces the embedding and not the head, which are one in this model.
        """
        if config.tied_head in self._whole and not self._retied:
            raise UnsupportedModelError(
                f"The adapter {self.path} replaces {config.tied_head} (modules_to_save), which is the head's "
                "weight too; peft leaves the head as it was.",
                hint="Train it with ensure_weight_tying=True, or merge it with peft (merge_and_unload).",
            )
        pairs = self._gguf.named(config) if self._gguf else self._pairs
        split = {
            part: (pairs[name][0], pairs[name][1][rows])
            for name, part, rows in _stacked_rows(config)
            if name in pairs
        }
        whole = {
            part: self._whole[name][rows] for name, part, rows in _stacked_rows(config) if name in self._whole
        }
        stacks = config.stacked().keys()
        pairs = {name: pair for name, pair in pairs.items() if name not in stacks} | split
        whole |= {name: values for name, values in self._whole.items() if name not in stacks}
        return Adapter(self.path, self.info, self.sha256, pairs, whole, self._gguf, retied=self._retied)

    def tensors(self) -> dict[str, Array]:
        """The matrices under the names that ``save_adapter`` and peft give them; whole tensors aside."""
        layers = {name.removesuffix(_WEIGHT): pair for name, pair in self._pairs.items()}
        return {layer + part: m for layer, pair in layers.items() for part, m in zip((_A, _B), pair)}

    def shape(self, name: str) -> tuple[int, ...]:
        """That of a parameter that it changes, (outputs, inputs) of a matrix."""
        if name in self._whole:
            return tuple(self._whole[name].shape)
        a, b = self._pairs[name]
        return b.shape[0], a.shape[1]

    def changed(
        self,
        name: str,
        values: npt.NDArray[np.float32],
        rows: slice | npt.NDArray[np.integer] = slice(None),
    ) -> npt.NDArray[np.float32]:
        """The parameter ``name``, whose values in the base are given, as it is with the adapter.

        Args:
            rows: that the values are of.

        Raises:
            KeyError: the adapter doesn't change it.
            BundleCorruptError: the change overflows.
        """
        if name in self._whole:
            return self._whole[name][rows].astype(np.float32)
        return values + self.delta(name, rows)

    def delta(
        self, name: str, rows: slice | npt.NDArray[np.integer] = slice(None)
    ) -> npt.NDArray[np.float32]:
        """The change of the parameter ``name``: alpha / rank · B A, float32 (outputs, inputs).

        Args:
            rows: these outputs only.

        Raises:
            KeyError: the adapter doesn't change it.
            BundleCorruptError: the product overflows.
        """
        a, b = self._pairs[name]
        scale = np.float32(self.info.alpha / self.info.rank)
        with np.errstate(over="ignore", invalid="ignore"):
            product = (b[rows].astype(np.float32) * scale) @ a.astype(np.float32)
        if not np.isfinite(product).all():
            raise _damaged(self.path, f"its change of {name} is not finite")
        return np.asarray(product, np.float32)

    def manifest(self) -> dict[str, Any]:
        """The entry for the manifest of a bundle that it is merged into."""
        info = self.info
        return {
            "task": info.task,
            "task_version": info.task_version,
            "distribution": f"{info.distribution} {info.distribution_version}".strip(),
            "options": dict(info.options),
            "temperature": info.temperature,
            "evaluation": dict(info.evaluation),
            "data": [dict(entry) for entry in info.data],
            "license": info.license,
            "sha256": self.sha256,
            "base": info.base,
        }


def _stacked_rows(config: ModelConfig) -> Iterator[tuple[str, str, slice]]:
    """Of each stacked matrix its name, a parameter that is a part of it, and the part's rows."""
    stacks = config.stacked()
    shapes = dict(config.parameter_shapes()) if stacks else {}
    for name, parts in stacks.items():
        begin = 0
        for part in parts:
            yield name, part, slice(begin, begin := begin + shapes[part][0])


def _locate(path: Path) -> tuple[Path, Path | None]:
    """The file with an adapter's weights, and peft's configuration if peft wrote it."""
    beside = path if path.is_dir() else path.parent
    if path in (beside, beside / WEIGHTS_FILE) and (beside / CONFIG_FILE).is_file():
        return beside / WEIGHTS_FILE, beside / CONFIG_FILE
    return (path / "adapter.safetensors" if path.is_dir() else path), None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        pickled = path.name == WEIGHTS_FILE and path.with_suffix(".bin").is_file()
        raise ModelNotFoundError(
            f"There is no adapter {path}.",
            hint="Pickled weights can run code and are never opened: save the adapter again with a current peft."
            if pickled
            else "Train one with `nlpsuite train adapter`.",
        ) from None
    except OSError as error:
        raise ModelUnavailableError(
            f"Can't read the adapter {path}: {error.strerror or error}.", hint="Check the permissions."
        ) from error


def _array(name: str, entry: Mapping[str, Any]) -> Array:
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"{name} is stored as {entry['dtype']}, not {', '.join(_DTYPES)}")
    values = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return widen_bf16(values) if entry["dtype"] == "BF16" else values


def save_adapter(
    path: Path,
    info: AdapterInfo,
    tensors: Mapping[str, Array],
    *,
    int8: bool = False,
) -> None:
    """Write an adapter atomically, after the checks of ``Adapter.open``.

    Args:
        tensors: ``<layer>.lora_A.weight`` (r, inputs) and ``<layer>.lora_B.weight`` (outputs, r) in
            float16 or float32, as they are to be stored.
        int8: store integers of 8 bits with a scale per row instead.

    Raises:
        BundleCorruptError: it could not be opened again, or has a NaN or an infinity.
        StorageError: the file can't be written.
    """
    from safetensors.numpy import save

    _pairs(path, info, tensors)
    stored = _quantized(tensors) if int8 else tensors
    arrays = {name: np.ascontiguousarray(values) for name, values in stored.items()}
    metadata = info.to_metadata(INTEGER_VERSION if int8 else FORMAT_VERSION)
    atomic_write_bytes(path, save(arrays, metadata=metadata))


def _quantized(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Each matrix as 8-bit integers, and its scales."""
    arrays: dict[str, Array] = {}
    for name, values in tensors.items():
        largest = np.abs(values.astype(np.float32)).max(axis=1, keepdims=True)
        scales = (largest / 127).astype(np.float16)
        levels = values / np.where(scales > 0, scales, np.inf).astype(np.float32)
        arrays[name] = np.clip(np.rint(levels), -127, 127).astype(np.int8)
        arrays[name.removesuffix(_WEIGHT) + _SCALES] = scales
    return arrays


def _dequantized(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The matrices as floats. Raises ValueError if scales don't fit."""
    found = {}
    for name, values in tensors.items():
        if values.dtype == np.int8:
            scales = tensors.get(name.removesuffix(_WEIGHT) + _SCALES)
            if scales is None or values.ndim != 2 or scales.shape != (len(values), 1):
                raise ValueError(f"{name} has no scales for its {len(values)} rows")
            if not np.isfinite(scales).all():
                raise ValueError(f"{name} has a scale that is not finite")
            values = values * scales.astype(np.float32)
        elif name.endswith(_SCALES):
            continue
        found[name] = values
    return found


def _pairs(path: Path, info: AdapterInfo, tensors: Mapping[str, Array]) -> dict[str, Pair]:
    """Parameter name -> its A and B, in the order of the names."""
    layers: dict[str, None] = {}  # in the order of the names
    for name, values in sorted(tensors.items()):
        layer = name.removesuffix(_A).removesuffix(_B)
        if layer == name or not layer:
            raise _damaged(path, f"the tensor {name!r} does not belong to a pair of low-rank matrices")
        if values.dtype not in (np.float16, np.float32):
            raise _damaged(path, f"{name} is of type {values.dtype}")
        if values.ndim != 2 or values.shape[0 if name.endswith(_A) else 1] != info.rank:
            raise _damaged(
                path, f"{name} has shape {list(values.shape)}, which does not have rank {info.rank}"
            )
        if not np.isfinite(values).all():
            raise _damaged(path, f"{name} has values that are not finite")
        layers[layer] = None
    if not layers:
        raise _damaged(path, "it contains no weights")
    for layer in layers:
        for part in (_A, _B):
            if layer + part not in tensors:
                raise _damaged(path, f"{layer + part} is missing")
    return {f"{layer}.weight": (tensors[layer + _A], tensors[layer + _B]) for layer in layers}


def _damaged(path: Path, what: str) -> BundleCorruptError:
    return BundleCorruptError(f"The adapter {path} is damaged: {what.rstrip('.')}.", hint=_DAMAGED)
