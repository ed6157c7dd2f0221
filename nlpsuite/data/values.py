"""Values that JSON doesn't have, as JSON: those of files with types of their own, such as Parquet."""

from __future__ import annotations

import base64
import datetime
import decimal
import math
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["from_json", "to_json"]

_MARK = "$"
# By the name in JSON: a type that JSON lacks, how a value of it becomes JSON, and how it comes back.
_TYPES: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "float": (float, repr, float),  # infinite or not a number
    "bytes": (bytes, lambda value: base64.b64encode(value).decode(), base64.b64decode),
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "timedelta": (
        datetime.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda parts: datetime.timedelta(*parts),
    ),
    "datetime": (datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    "date": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "time": (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
    "text": (object, str, str),
}


def to_json(value: Any) -> Any:
    """JSON values that ``from_json`` turns back into ``value``."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping):
        plain = {str(key): to_json(inner) for key, inner in value.items()}
        return {_MARK: "object", "value": plain} if _MARK in plain else plain
    if isinstance(value, list | tuple):
        return [to_json(inner) for inner in value]
    name = next(name for name, (kind, _, _) in _TYPES.items() if isinstance(value, kind))
    return {_MARK: name, "value": _TYPES[name][1](value)}


def from_json(value: Any) -> Any:
    """The value that ``to_json`` was given; one of a type that it doesn't know comes back as text."""
    if isinstance(value, list):
        return [from_json(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_MARK)
    if kind == "object":
        value = value["value"]
    elif kind is not None:
        return _TYPES[kind][2](value["value"])
    return {key: from_json(inner) for key, inner in value.items()}
