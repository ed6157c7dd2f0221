"""What an adapter is for and where it came from: the metadata of its file."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nlpsuite.errors import UnsupportedModelError

__all__ = ["FORMAT_VERSION", "INTEGER_VERSION", "AdapterInfo"]

FORMAT = "nlpsuite-adapter"
FORMAT_VERSION = 1
INTEGER_VERSION = 2  # with matrices of 8-bit integers, which earlier readers would call damaged
_KEY = "nlpsuite_adapter"  # of the metadata's JSON text; safetensors metadata holds strings alone


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
        if version not in (FORMAT_VERSION, INTEGER_VERSION):
            raise UnsupportedModelError(
                f"It has version {version!r}; this nlpsuite reads versions up to {INTEGER_VERSION}.",
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
