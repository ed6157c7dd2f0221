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
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import (
    BundleCorruptError,
    ModelNotFoundError,
    ModelUnavailableError,
    UnsupportedModelError,
)
from nlpsuite.files import atomic_write_bytes, sha256_file
from nlpsuite.models.checkpoint_base import Checkpoint
from nlpsuite.models.checkpoint_hf import DTYPES, widen_bf16
from nlpsuite.models.peft import CONFIG_FILE, PREFIX, WEIGHTS_FILE, peft_settings

__all__ = ["Adapter", "AdapterInfo", "fingerprint", "fingerprint_of", "save_adapter"]

FORMAT = "nlpsuite-adapter"
FORMAT_VERSION = 1
_INTEGER_VERSION = 2  # with matrices of 8-bit integers, which earlier readers would call damaged
_KEY = "nlpsuite_adapter"  # of the metadata's JSON text; safetensors metadata holds strings alone
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


@dataclass(frozen=True)
class AdapterInfo:
    """What an adapter is for and where it came from.

    Attributes:
        task, task_version: what it was trained for; empty if peft saved it.
        distribution, distribution_version: the package of the task's plugin.
        base: the base's display name.
        base_fingerprint: of the base's weights, see ``fingerprint``; empty if peft saved it.
        rank: r of every pair of matrices.
        alpha: B A is scaled by alpha / rank.
        options: the task options it was trained with, JSON values; use the same to run it.
        temperature: divides the log-probabilities of choices, so that probabilities are as often right as they
            say; see ``Completion.at_temperature``.
        data: ``name``, ``sha256``, ``rows`` and ``license`` of each training file.
        evaluation: results on held-out data, and ``n``, the number of rows.
        license: of the adapter, as an SPDX identifier, or None.
        created_by: the program and version that trained it.
    """

    task: str
    task_version: str
    distribution: str
    distribution_version: str
    base: str
    base_fingerprint: str
    rank: int
    alpha: float
    options: Mapping[str, Any] = field(default_factory=dict)
    temperature: float = 1.0
    data: tuple[Mapping[str, Any], ...] = ()
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    license: str | None = None
    created_by: str = ""

    def __post_init__(self) -> None:
        texts = (
            *(self.task, self.task_version, self.distribution, self.distribution_version),
            *(self.base, self.base_fingerprint, self.created_by, self.license or ""),
        )
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("a name, version or license is not a string")
        if type(self.rank) is not int or self.rank < 1:
            raise ValueError(f"the rank is {self.rank!r}")
        if type(self.alpha) not in (int, float) or not math.isfinite(self.alpha):
            raise ValueError(f"alpha is {self.alpha!r}")
        if type(self.temperature) not in (int, float) or not 0 < self.temperature < math.inf:
            raise ValueError(f"the temperature is {self.temperature!r}")
        if not isinstance(self.options, Mapping) or not isinstance(self.evaluation, Mapping):
            raise ValueError("options or evaluation are not a mapping")
        if not all(isinstance(entry, Mapping) for entry in self.data):
            raise ValueError("an entry of the data is not a mapping")

    def to_metadata(self, version: int = FORMAT_VERSION) -> dict[str, str]:
        """As safetensors metadata. Raises ValueError if a value isn't JSON."""
        values = {"format": FORMAT, "version": version} | dataclasses.asdict(self)
        return {_KEY: json.dumps(values, ensure_ascii=False, allow_nan=False)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> AdapterInfo:
        """Read what ``to_metadata`` wrote, ignoring unknown fields.

        Raises:
            UnsupportedModelError: another program's adapter, or a later version.
            ValueError: damaged.
        """
        if _KEY not in metadata:
            raise UnsupportedModelError(
                "It was not written by `nlpsuite train adapter`.",
                hint="If peft saved it, name the directory that holds its adapter_config.json.",
            )
        values = json.loads(metadata[_KEY], parse_constant=_no_number)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError("its metadata have another format")
        version = values.get("version")
        if version not in (FORMAT_VERSION, _INTEGER_VERSION):
            raise UnsupportedModelError(
                f"It has version {version!r}; this nlpsuite reads versions up to {_INTEGER_VERSION}.",
                hint="Upgrade nlpsuite, or train the adapter again.",
            )
        values = _respelled(values)
        known = {f.name: values[f.name] for f in dataclasses.fields(cls) if f.name in values}
        if "data" in known:
            known["data"] = tuple(_respelled(entry) for entry in known["data"])
        return cls(**known)


def _respelled(values: Any) -> Any:
    """Metadata with ``licence``, the spelling before 0.1, renamed to ``license``."""
    if isinstance(values, dict) and "licence" in values:
        return {"license" if name == "licence" else name: value for name, value in values.items()}
    return values


def _no_number(text: str) -> Any:
    raise ValueError(f"it has the number {text}")


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
        self, path: Path, info: AdapterInfo, sha256: str, pairs: Mapping[str, tuple[Array, Array]]
    ) -> None:
        self.path, self.info, self.sha256 = path, info, sha256
        self.label = info.task or path.resolve().parent.name
        self._pairs = dict(pairs)
        self.names = list(self._pairs)

    @classmethod
    def open(cls, path: Path) -> Adapter:
        """Read and check an adapter: a file or run directory of ``train adapter``, or a directory that peft
        saved.

        Raises:
            ModelNotFoundError: there is no such adapter.
            ModelUnavailableError: it can't be read.
            UnsupportedModelError: an unsupported kind, or a later version.
            BundleCorruptError: damaged: half a pair of matrices, shapes that don't fit, NaN.
        """
        import safetensors

        path, config_path = _locate(path)
        data = _read(path)
        config = _read(config_path) if config_path else None
        try:
            stored = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
            tensors = {name: _array(name, entry) for name, entry in stored}
            if config_path and config is not None:
                info = AdapterInfo(**peft_settings(config_path, config))
                tensors = {name.removeprefix(PREFIX): values for name, values in tensors.items()}
            else:
                header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
                info = AdapterInfo.from_metadata(header.get("__metadata__") or {})
                tensors = _dequantized(tensors)
        except UnsupportedModelError as error:
            raise UnsupportedModelError(
                f"The adapter {path} can't be used. {error.message}", hint=error.hint
            ) from None
        except (safetensors.SafetensorError, LookupError, *_MALFORMED) as error:
            raise _damaged(path, str(error)) from None
        digest = hashlib.sha256(data + (config or b"")).hexdigest()
        return cls(path, info, digest, _pairs(path, info, tensors))

    def shape(self, name: str) -> tuple[int, int]:
        """(outputs, inputs) of a parameter that it changes."""
        a, b = self._pairs[name]
        return b.shape[0], a.shape[1]

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
    metadata = info.to_metadata(_INTEGER_VERSION if int8 else FORMAT_VERSION)
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


def _pairs(path: Path, info: AdapterInfo, tensors: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
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
