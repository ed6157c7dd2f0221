"""Arrow types and values that Python has no counterpart for. pyarrow is optional and imported when needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import MissingExtraError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["as_numbers", "from_python", "require_pyarrow", "with_nanoseconds_as_text"]


def require_pyarrow(what: str) -> Any:
    """The package with its Parquet module. Raises MissingExtraError, "``what`` needs pyarrow"."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(
            f"{what} needs pyarrow.", hint="Install it: pip install 'nlpsuite[data]'."
        ) from None
    return pyarrow


def with_nanoseconds_as_text(kind: pyarrow.DataType) -> pyarrow.DataType:
    """A type with text in place of each timestamp in nanoseconds, at any depth."""
    import pyarrow

    types = pyarrow.types

    def change(leaf: pyarrow.DataType) -> pyarrow.DataType:
        return pyarrow.string() if types.is_timestamp(leaf) and leaf.unit == "ns" else leaf

    return _changed(kind, change)


def as_numbers(kind: pyarrow.DataType) -> pyarrow.DataType:
    """A type with the whole numbers that Arrow stores in place of each time, at any depth."""
    import pyarrow

    types = pyarrow.types

    def change(leaf: pyarrow.DataType) -> pyarrow.DataType:
        if not types.is_temporal(leaf):
            return leaf
        return pyarrow.int32() if leaf.bit_width == 32 else pyarrow.int64()

    return _changed(kind, change)


def _changed(
    kind: pyarrow.DataType, change: Callable[[pyarrow.DataType], pyarrow.DataType]
) -> pyarrow.DataType:
    import pyarrow

    types = pyarrow.types
    if types.is_map(kind):
        return pyarrow.map_(_changed(kind.key_type, change), _changed(kind.item_type, change))
    if types.is_struct(kind):
        return pyarrow.struct([field.with_type(_changed(field.type, change)) for field in kind])
    if types.is_list(kind):
        return pyarrow.list_(kind.value_field.with_type(_changed(kind.value_type, change)))
    if types.is_large_list(kind):
        return pyarrow.large_list(kind.value_field.with_type(_changed(kind.value_type, change)))
    return change(kind)


def from_python(values: list[Any], kind: pyarrow.DataType) -> pyarrow.Array:
    """The array of a type whose values came from Arrow through Python and JSON.

    Raises:
        pyarrow.ArrowException, TypeError, ValueError, OverflowError: a value that is not of the type.
    """
    import pyarrow

    array = pyarrow.array([_with_pairs(value, kind) for value in values], with_nanoseconds_as_text(kind))
    return array.cast(kind)


def _with_pairs(value: Any, kind: pyarrow.DataType) -> Any:
    """Pairs of maps, which JSON makes lists of, as tuples again."""
    import pyarrow

    types = pyarrow.types
    if value is None or not types.is_nested(kind):
        return value
    if types.is_map(kind):
        return [(_with_pairs(k, kind.key_type), _with_pairs(v, kind.item_type)) for k, v in value]
    if types.is_struct(kind):
        return {field.name: _with_pairs(value.get(field.name), field.type) for field in kind}
    if hasattr(kind, "value_type"):
        return [_with_pairs(item, kind.value_type) for item in value]
    return value
