"""Models by name: a dozen that are worth taking, what they need, and which of them suits a machine.

The data are in ``catalog.toml``, from which docs/models.md is made too.
"""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from nlpsuite.models import sources
from nlpsuite.models.decoder_config import DecoderConfig
from nlpsuite.models.hub import hub_source
from nlpsuite.models.licenses import check_license
from nlpsuite.models.size import PRECISIONS, memory_bytes, weight_bytes
from nlpsuite.models.spec import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

    from nlpsuite.models.spec import Reporter

__all__ = ["CatalogModel", "Figure", "catalog", "find_model", "propose_model"]

# Slower than this, reading along is no pleasure.
_TOKENS_PER_SECOND = 8
# What a model may take of the free memory; the rest is for other programs.
_SHARE = 0.7


_HUB = "https://huggingface.co/"


@dataclass(frozen=True)
class Figure:
    """A published result: ``value`` in percent, and where it is published."""

    test: str
    value: float
    source: str


@dataclass(frozen=True)
class CatalogModel:
    """A model that the catalogue knows.

    Attributes:
        name: for ``--model`` and ``nlpsuite pull``, in any case of letters.
        address: ``default``, or ``hf:owner/name``.
        revision: of the address: a commit, or ``main``.
        license: its name, an SPDX identifier where there is one.
        terms: address of terms of use that must be accepted; empty if there are none.
        gated: the hub wants the token of an account that was granted access.
        purpose: ``text``, ``code``, or ``base`` for one that isn't tuned to instructions.
        parameters: number of weights, as published.
        good_for: a line.
        checked: names of the bundled tasks whose prompts were tried on it.
        figures: published results.
        shape: fields of ``DecoderConfig``.
    """

    name: str
    address: str
    revision: str
    license: str
    parameters: int
    good_for: str
    shape: dict[str, Any]
    figures: tuple[Figure, ...]
    terms: str = ""
    gated: bool = False
    purpose: str = "text"
    checked: tuple[str, ...] = ()

    @property
    def config(self) -> DecoderConfig:
        """The shape; of its arithmetic only the family."""
        return DecoderConfig(**self.shape)

    @property
    def page(self) -> str:
        """Where people read about it."""
        if self.address == "default":
            return f"{_HUB}HuggingFaceTB/SmolLM2-135M-Instruct"
        return f"{_HUB}{self.address.removeprefix('hf:')}"

    def describe(self) -> dict[str, Any]:
        """Everything that is known, sizes and memory by precision included, as plain values."""
        config = self.config
        values = {name: value for name, value in dataclasses.asdict(self).items() if name != "shape"}
        return {
            **values,
            "page": self.page,
            "context_length": config.context_length,
            "bytes": {precision: weight_bytes(config, precision) for precision in PRECISIONS},
            "memory_bytes": {precision: memory_bytes(config, precision) for precision in PRECISIONS},
        }

    def spec(self, *, offline: bool) -> ModelSpec:
        """What a bundle is built from.

        Its ``obtain`` raises LicenseNotAcceptedError if the model has terms that nobody accepted yet.
        """
        if self.address == "default":
            return sources.packaged_spec(sources.DEFAULT_MODEL, offline=offline)
        rest = self.address.removeprefix("hf:")
        found = hub_source(rest if self.revision == "main" else f"{rest}@{self.revision}", offline=offline)

        def obtain(directory: Path, reporter: Reporter) -> Path:
            check_license(self.name, self.license, self.terms)
            return found.obtain(directory, reporter)

        return dataclasses.replace(found, obtain=obtain, parameters=self.parameters)


@functools.cache
def catalog() -> tuple[CatalogModel, ...]:
    """All models, from the smallest to the largest."""
    text = resources.files("nlpsuite.models").joinpath("catalog.toml").read_text(encoding="utf-8")
    return tuple(
        CatalogModel(
            **{
                **entry,
                "figures": tuple(Figure(**figure) for figure in entry["figures"]),
                "checked": tuple(entry.get("checked", ())),
            }
        )
        for entry in tomllib.loads(text)["model"]
    )


def find_model(name: str) -> CatalogModel | None:
    """The model of that name, or None. ``NAME@REVISION`` is the model as the hub had it at a commit, branch or tag."""
    name, at, revision = name.partition("@")
    found = next((model for model in catalog() if model.name.casefold() == name.casefold()), None)
    if found is None or not at:
        return found
    address = f"hf:{found.page.removeprefix(_HUB)}"  # the default's package has one revision only
    return dataclasses.replace(found, address=address, revision=revision)


def propose_model(
    memory: int,
    bytes_per_second: float,
    *,
    precision: str = "int8",
    models: Sequence[CatalogModel] | None = None,
) -> tuple[CatalogModel, float]:
    """The largest model for text, free of terms, that a machine holds and runs at a readable speed.

    A token is read from all weights once, so the speed of memory bounds that of decoding.

    Args:
        memory: free bytes.
        bytes_per_second: at which memory is read.
        models: to choose from; by default the catalogue.

    Returns:
        The model, and its tokens per second at most. If nothing fits, the smallest one.
    """
    candidates = [m for m in models or catalog() if m.purpose == "text" and not m.terms]

    def speed(model: CatalogModel) -> float:
        return bytes_per_second / weight_bytes(model.config, precision)

    def fits(model: CatalogModel) -> bool:
        room = memory_bytes(model.config, precision) <= _SHARE * memory
        return room and speed(model) >= _TOKENS_PER_SECOND

    smallest, *_ = by_size = sorted(candidates, key=lambda model: model.parameters)
    chosen = max(filter(fits, by_size), key=lambda model: model.parameters, default=smallest)
    return chosen, speed(chosen)
