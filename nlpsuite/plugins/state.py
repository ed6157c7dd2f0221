"""What the user has decided about plugins, stored in ``plugins.json``.

{
  "version": 1,
  "disabled": ["keywords", "metric:bleu"],         plugins or distributions
  "chosen": {"summarize": "nlpsuite-brief"},       whose plugin of that name is used
  "installed": {"nlpsuite-keywords": {"version": "0.1.0", "requirement": "nlpsuite-keywords==0.1.0"}}
}
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nlpsuite.errors import StorageError

__all__ = ["Installed", "State", "change_state", "parse_state", "read_record", "read_state", "state_path"]

_VERSION = 1


@dataclass(frozen=True)
class Installed:
    """A third party's distribution that should be installed.

    Attributes:
        version: that was installed.
        requirement: that installs it again, as pip takes it.
        editable: it was installed with ``--editable``; ``requirement`` is a directory.
    """

    version: str
    requirement: str
    editable: bool = False


@dataclass
class State:
    """The user's decisions.

    Attributes:
        disabled: names or keys of plugins, or distributions.
        chosen: of a name that several distributions offer, whose is used.
        installed: third parties' distributions by normalised name.
        unknown: fields that a later version wrote; they are preserved.
    """

    disabled: set[str] = field(default_factory=set)
    chosen: dict[str, str] = field(default_factory=dict)
    installed: dict[str, Installed] = field(default_factory=dict)
    unknown: dict[str, Any] = field(default_factory=dict)


def state_path() -> Path:
    """``plugins.json`` in ``$NLPSUITE_CONFIG_DIR`` if set, else in the user's configuration directory."""
    if override := os.environ.get("NLPSUITE_CONFIG_DIR"):
        return Path(override).expanduser() / "plugins.json"
    import platformdirs

    return Path(platformdirs.user_config_dir("nlpsuite", appauthor=False)) / "plugins.json"


def read_state() -> State:
    """The user's decisions; an empty state if there are none yet. Raises as ``read_record``, ``parse_state``."""
    return parse_state(read_record())


def read_record() -> bytes | None:
    """The content of the file; None if there is none yet. Raises StorageError if it can't be read."""
    path = state_path()
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None


def parse_state(record: bytes | None) -> State:
    """The decisions that ``read_record`` gave. Raises StorageError, which names the file, if it is damaged."""
    if record is None:
        return State()
    import json

    try:
        return _decoded(json.loads(record))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _unreadable(state_path(), f"{type(error).__name__}: {error}") from None


@contextlib.contextmanager
def change_state() -> Iterator[State]:
    """Yields the state to change, and writes it whole or not at all, unless the body raises.

    Raises:
        StorageError: the file is damaged, in which case it is never overwritten, or can't be written.
    """
    import json

    from nlpsuite.files import atomic_write_text

    state = read_state()
    yield state
    values = state.unknown | {
        "version": _VERSION,
        "disabled": sorted(state.disabled),
        "chosen": dict(sorted(state.chosen.items())),
        "installed": {
            name: {key: value for key, value in asdict(row).items() if value is not False}
            for name, row in sorted(state.installed.items())
        },
    }
    path = state_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    except (OSError, StorageError) as error:
        reason = getattr(error, "message", f"Can't write {path}: {error}.")
        hint = "Set NLPSUITE_CONFIG_DIR to another place for plugins.json."
        raise StorageError(reason, hint=hint) from None


def _decoded(values: dict[str, Any]) -> State:
    version = values.pop("version")
    if not isinstance(version, int) or version > _VERSION:
        raise ValueError(f"version {version!r}, this nlpsuite reads {_VERSION}")
    disabled, chosen = values.pop("disabled", []), values.pop("chosen", {})
    rows = {
        name: Installed(row["version"], row["requirement"], row.get("editable") is True)
        for name, row in values.pop("installed", {}).items()
    }
    texts = [*disabled, *chosen.values(), *(t for r in rows.values() for t in (r.version, r.requirement))]
    if not isinstance(disabled, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("names, versions and requirements must be strings")
    return State(set(disabled), chosen, rows, values)


def _unreadable(path: Path, reason: str) -> StorageError:
    return StorageError(
        f"The record of your plugins, {path}, can't be read: {reason}.",
        hint="Repair it or move it away; it was not changed. `nlpsuite --no-plugins` works without it.",
    )
