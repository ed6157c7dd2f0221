"""Terms of use that were accepted on this machine, each once."""

from __future__ import annotations

import datetime
import json
from typing import Any

from nlpsuite.errors import LicenseNotAcceptedError
from nlpsuite.files import atomic_write_text, storage_errors
from nlpsuite.paths import licenses_path

__all__ = ["accept_license", "check_license", "is_accepted"]


def is_accepted(terms: str) -> bool:
    """Whether somebody accepted the terms at that address, or there are none (an empty address)."""
    return not terms or terms in _read()


def accept_license(model: str, license: str, terms: str) -> None:
    """Record that the user accepts the terms, for whatever model they apply to.

    Raises:
        StorageError: the record can't be written.
    """
    path = licenses_path()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    accepted = _read() | {terms: {"license": license, "model": model, "accepted": now}}
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(path, json.dumps(accepted, indent=2, ensure_ascii=False) + "\n")


def check_license(model: str, license: str, terms: str) -> None:
    """Raise LicenseNotAcceptedError if a model has terms that weren't accepted."""
    if not is_accepted(terms):
        raise LicenseNotAcceptedError(
            f"{model} comes with terms of use that haven't been accepted: {license}, {terms}.",
            hint=f"Read them, then run: nlpsuite pull {model}",
        )


def _read() -> dict[str, Any]:
    """Address of terms to when they were accepted. A damaged record counts as none: it is asked again."""
    try:
        found = json.loads(licenses_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
