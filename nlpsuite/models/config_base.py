"""What every model's configuration offers.

A configuration lists the names and shapes of its parameters and of its state; everything that handles
weights or states (checkpoint readers, exporter, trainer) is generic over these two lists.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Set
from typing import Any, ClassVar, Self

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.models.hf_config import refuse_unknown, required

__all__ = ["ModelConfig", "architecture_of", "cache_shapes"]


@dataclasses.dataclass(frozen=True)
class ModelConfig(ABC):
    """What every model's configuration offers; field names follow Hugging Face.

    Class attributes:
        architectures: name in ``config.json`` to ``model_type``.
        fixed: further entries that ``to_hf`` writes.
        harmless: entries that are not fields, with the values that change nothing.
    """

    architectures: ClassVar[Mapping[str, str]]
    fixed: ClassVar[Mapping[str, Any]] = {}
    harmless: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    vocab_size: int

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
                raise UnsupportedModelError(f"Model config: {field.name} is {value}, must be positive.")

    @property
    @abstractmethod
    def context_length(self) -> int:
        """Tokens the model can see at once."""

    @property
    def tied_head(self) -> str | None:
        """The embedding's name if the head has no weights of its own."""
        return None

    @property
    def recurrent(self) -> bool:
        """Whether the state has a fixed size and can't be rolled back (an LSTM's, unlike a cache)."""
        return False

    @abstractmethod
    def parameter_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of each parameter, without a tied head; matrices are (outputs, inputs)."""

    def stacked(self) -> Mapping[str, tuple[str, ...]]:
        """Names of matrices that checkpoints store as one, to the parameters whose rows they stack, in order.

        A stack of one is a parameter that checkpoints call otherwise.
        """
        return {}

    @abstractmethod
    def state_shapes(self) -> Iterator[tuple[str, tuple[int | str, ...]]]:
        """Name and shape of each part of a row's state; ``"cache_length"`` stands for a free size."""

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> Self:
        """Read a Hugging Face ``config.json`` of this architecture."""
        return cls._read(config)

    def to_hf(self) -> dict[str, Any]:
        """The equivalent Hugging Face ``config.json`` object."""
        [(name, model_type)] = self.architectures.items()
        return {"architectures": [name], "model_type": model_type, **self.fixed, **dataclasses.asdict(self)}

    @classmethod
    def _read(cls, config: dict[str, Any], also: Set[str] = frozenset(), **values: Any) -> Self:
        """Read the fields that aren't in ``values`` under their own names, all of them required.

        Args:
            also: names of further entries that the caller has read.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        refuse_unknown(config, {*names, *also}, cls.harmless)
        return cls(**values, **{name: required(config, name) for name in names if name not in values})

    def parameter_count(self) -> int:
        """Number of weights."""
        return sum(math.prod(shape) for _, shape in self.parameter_shapes())


def cache_shapes(layers: int, heads: int, size: int) -> Iterator[tuple[str, tuple[int | str, ...]]]:
    """The state of layers of attention: keys and values of each."""
    return (
        (f"{i}.{kind}", (heads, "cache_length", size)) for i in range(layers) for kind in ("key", "value")
    )


def architecture_of(config: Mapping[str, Any], known: Mapping[str, str]) -> str:
    """The model type of a ``config.json``, or the name it gives if that isn't known."""
    names = config.get("architectures") or [config.get("model_type", "unknown")]
    return known.get(names[0], str(names[0]))
