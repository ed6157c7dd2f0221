"""Values of a row as files can hold them."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
from collections.abc import Mapping
from typing import Any

from nlpsuite.errors import InputInvalidError

__all__ = ["as_json", "as_text", "not_unicode"]


def as_json(value: Any) -> Any:
    """A value as JSON has it: times in ISO 8601, decimal numbers as texts, bytes in base64, and null for
    NaN and infinities.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, decimal.Decimal) else as_json(_plain(value))


def _plain(value: Any) -> Any:
    """The plain value of another library's: a number for NumPy's scalars, else a text."""
    inner = value.item() if hasattr(value, "item") else str(value)
    return str(value) if type(inner) is type(value) else inner


def as_text(value: Any) -> str:
    """A value as a file of texts has it: texts as they are, nothing for null, JSON for everything else."""
    if isinstance(value, str):
        return value
    plain = as_json(value)
    if isinstance(plain, str):
        return plain
    return "" if plain is None else json.dumps(plain, ensure_ascii=False, allow_nan=False)


def not_unicode(row: int) -> InputInvalidError:
    """The error of a row, counted from 1, with a text that UTF-8 can't hold."""
    return InputInvalidError(
        f"Row {row:,} has a lone surrogate, which UTF-8 can't hold.",
        hint="Its text was decoded wrongly: fix the row in the input.",
    )
