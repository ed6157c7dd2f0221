"""The files of a Hugging Face directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nlpsuite.errors import BundleCorruptError, ModelUnavailableError

__all__ = ["DAMAGED", "read_json", "read_text"]

DAMAGED = "The model is damaged or incomplete: download it again."
"""The hint for a directory with damaged files."""


def read_text(path: Path) -> str:
    """The UTF-8 text of a file of a model directory."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelUnavailableError(
            f"Can't read {path}: {error.strerror or error}.", hint="Check the permissions."
        ) from error
    except UnicodeDecodeError:
        raise BundleCorruptError(f"{path} is not UTF-8 text.", hint=DAMAGED) from None


def read_json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """The JSON object in a file; empty if it is optional and missing."""
    if optional and not path.exists():
        return {}
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise BundleCorruptError(f"{path} is not valid JSON.", hint=DAMAGED) from None
    if not isinstance(value, dict):
        raise BundleCorruptError(f"{path} is not a JSON object.", hint=DAMAGED)
    return value
