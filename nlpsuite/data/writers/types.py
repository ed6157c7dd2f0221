"""The kind that all values of a column have, where no schema says it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Kind", "arrow_type", "kind_of", "unified"]

# None for null alone; a name; ("list", kind of the items); ("object", (name, kind), …). "mixed" has no type
# but text.
Kind: TypeAlias = str | tuple[Any, ...] | None

_EXACT = 1 << 53  # whole numbers up to this are floats as well


def kind_of(value: Any) -> Kind:
    """The kind of a value."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        if -_EXACT <= value <= _EXACT:
            return "int"
        return "long" if -(1 << 63) <= value < 1 << 63 else "mixed"
    if isinstance(value, float | str | bytes):
        return type(value).__name__
    if isinstance(value, datetime.datetime):
        return "time" if value.tzinfo is None else "mixed"
    if isinstance(value, datetime.date):
        return "date"
    if isinstance(value, list | tuple):
        return _list(reduce(unified, map(kind_of, value), None))
    if isinstance(value, Mapping) and value and all(isinstance(name, str) for name in value):
        return _object([(name, kind_of(inner)) for name, inner in value.items()])
    return "mixed"


def unified(one: Kind, other: Kind) -> Kind:
    """The kind of a column with values of both."""
    if one == other or other is None:
        return one
    if one is None:
        return other
    if isinstance(one, tuple) and isinstance(other, tuple) and one[0] == other[0]:
        if one[0] == "list":
            return _list(unified(one[1], other[1]))
        # Objects with different names would gain nulls that they don't have.
        if [name for name, _ in one[1:]] == [name for name, _ in other[1:]]:
            return _object(
                [(name, unified(left, right)) for (name, left), (_, right) in zip(one[1:], other[1:])]
            )
    # Sets, so that the order doesn't matter.
    for kinds, both in (({"int", "long"}, "long"), ({"int", "float"}, "float")):
        if {one, other} == kinds:
            return both
    return "mixed"


def _list(inner: Kind) -> Kind:
    return "mixed" if inner == "mixed" else ("list", inner)


def _object(pairs: Sequence[tuple[str, Kind]]) -> Kind:
    return "mixed" if any(kind == "mixed" for _, kind in pairs) else ("object", *pairs)


def arrow_type(kind: Kind) -> pyarrow.DataType:
    """How Arrow stores a kind; text where all values are null."""
    import pyarrow

    if isinstance(kind, tuple):
        if kind[0] == "list":
            return pyarrow.list_(arrow_type(kind[1]))
        return pyarrow.struct([(name, arrow_type(inner)) for name, inner in kind[1:]])
    return {
        None: pyarrow.string(),
        "mixed": pyarrow.string(),
        "str": pyarrow.string(),
        "bool": pyarrow.bool_(),
        "int": pyarrow.int64(),
        "long": pyarrow.int64(),
        "float": pyarrow.float64(),
        "bytes": pyarrow.binary(),
        "time": pyarrow.timestamp("us"),
        "date": pyarrow.date32(),
    }[kind]
