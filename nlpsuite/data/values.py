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


def to_json(value: Any) -> Any:
    """JSON values that ``from_json`` turns back into ``value``."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_MARK: "float", "value": repr(value)}
    if isinstance(value, Mapping):
        plain = {str(key): to_json(inner) for key, inner in value.items()}
        return {_MARK: "object", "value": plain} if _MARK in plain else plain
    if isinstance(value, (list, tuple)):
        return [to_json(inner) for inner in value]
    if isinstance(value, bytes):
        return {_MARK: "bytes", "value": base64.b64encode(value).decode()}
    if isinstance(value, decimal.Decimal):
        return {_MARK: "decimal", "value": str(value)}
    if isinstance(value, datetime.timedelta):
        return {_MARK: "timedelta", "value": [value.days, value.seconds, value.microseconds]}
    for name, kind in (("datetime", datetime.datetime), ("date", datetime.date), ("time", datetime.time)):
        if isinstance(value, kind):
            return {_MARK: name, "value": value.isoformat()}
    return {_MARK: "text", "value": str(value)}


def from_json(value: Any) -> Any:
    """The value that ``to_json`` was given; one of a type that it doesn't know comes back as text."""
    if isinstance(value, list):
        return [from_json(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_MARK)
    if kind is None:
        return {key: from_json(inner) for key, inner in value.items()}
    inner = value["value"]
    if kind == "object":
        return {key: from_json(each) for key, each in inner.items()}
    if kind == "timedelta":
        return datetime.timedelta(*inner)
    read: dict[str, Callable[[Any], Any]] = {
        "float": float,
        "bytes": base64.b64decode,
        "decimal": decimal.Decimal,
        "datetime": datetime.datetime.fromisoformat,
        "date": datetime.date.fromisoformat,
        "time": datetime.time.fromisoformat,
        "text": str,
    }
    return read[kind](inner)
