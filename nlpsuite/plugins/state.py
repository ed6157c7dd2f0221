"""What the user has decided about plugins, kept in ``plugins.json``.

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlpsuite.errors import StorageError

__all__ = ["Installed", "State", "change_state", "read_state", "state_path"]

_VERSION = 1


@dataclass(frozen=True)
class Installed:
    """A third party's distribution that should be there.

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
        unknown: fields that a later version wrote; they are kept.
    """

    disabled: set[str] = field(default_factory=set)
    chosen: dict[str, str] = field(default_factory=dict)
    installed: dict[str, Installed] = field(default_factory=dict)
    unknown: dict[str, Any] = field(default_factory=dict)


def state_path() -> Path:
    """``plugins.json`` in ``$NLPSUITE_CONFIG_DIR`` if set, else in the user's configuration directory."""
    override = os.environ.get("NLPSUITE_CONFIG_DIR")
    if override:
        return Path(override).expanduser() / "plugins.json"
    import platformdirs

    return Path(platformdirs.user_config_dir("nlpsuite", appauthor=False)) / "plugins.json"


def read_state() -> State:
    """The user's decisions; an empty state where nothing was decided yet.

    Raises:
        StorageError: the file is damaged or can't be read; names it.
    """
    path = state_path()
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return State()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    import json

    try:
        return _decoded(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from None


@contextlib.contextmanager
def change_state() -> Iterator[State]:
    """Yields the state to change, and writes it whole or not at all, if the body does not raise.

    Raises:
        StorageError: the file is damaged, which is never overwritten, or can't be written.
    """
    import json

    from nlpsuite.files import atomic_write_text

    state = read_state()
    yield state
    path = state_path()
    # A link to a file kept elsewhere stays a link.
    path = path.resolve() if path.is_symlink() else path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, json.dumps(_encoded(state), indent=2, ensure_ascii=False) + "\n")
    except (OSError, StorageError) as error:
        reason = (
            error.message if isinstance(error, StorageError) else f"Can't write {path}: {error.strerror}."
        )
        raise StorageError(reason, hint="NLPSUITE_CONFIG_DIR names another place for plugins.json.") from None


def _decoded(values: Any) -> State:
    if not isinstance(values, dict):
        raise ValueError("not an object")
    if not isinstance(values.get("version"), int) or values["version"] > _VERSION:
        raise ValueError(f"version {values.get('version')!r}, this nlpsuite reads {_VERSION}")
    known = ("version", "disabled", "chosen", "installed")
    disabled, chosen, installed = (
        values.get("disabled", []),
        values.get("chosen", {}),
        values.get("installed", {}),
    )
    texts = [*disabled, *chosen.values()]
    if not isinstance(disabled, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("names must be strings")
    for row in installed.values():
        if not isinstance(row["version"], str) or not isinstance(row["requirement"], str):
            raise ValueError("version and requirement must be strings")
    return State(
        set(disabled),
        dict(chosen),
        {
            name: Installed(row["version"], row["requirement"], row.get("editable") is True)
            for name, row in installed.items()
        },
        {key: value for key, value in values.items() if key not in known},
    )


def _encoded(state: State) -> dict[str, Any]:
    installed = {
        name: {"version": row.version, "requirement": row.requirement}
        | ({"editable": True} if row.editable else {})
        for name, row in sorted(state.installed.items())
    }
    return state.unknown | {
        "version": _VERSION,
        "disabled": sorted(state.disabled),
        "chosen": dict(sorted(state.chosen.items())),
        "installed": installed,
    }


def _unreadable(path: Path, reason: str) -> StorageError:
    return StorageError(
        f"The record of your plugins, {path}, can't be read: {reason}.",
        hint="Mend it or move it away; nothing in it was changed. `nlpsuite --no-plugins` goes on without it.",
    )
