"""Which plugins may be used now: ``--no-plugins`` and ``NLPSUITE_PLUGINS``.

Both are read from the environment whenever they are needed, so that they hold in the processes
that this one starts as well.
"""

from __future__ import annotations

import os

from nlpsuite.plugins.registry import Plugin

__all__ = ["ALL", "ALLOWED", "BLOCKED", "block", "blocked_by", "only_bundled"]

ALLOWED = "NLPSUITE_PLUGINS"
BLOCKED = "NLPSUITE_NO_PLUGINS"
ALL = "*"


def block(*names: str) -> None:
    """Block tasks or distributions from now on, in this process and its children. ``*`` blocks all
    that are not bundled."""
    os.environ[BLOCKED] = ",".join([*_names(BLOCKED), *names])


def only_bundled() -> bool:
    """No third party's plugin may be used."""
    return ALL in _names(BLOCKED) or (ALLOWED in os.environ and not _names(ALLOWED))


def blocked_by(plugin: Plugin) -> str:
    """What forbids a plugin: ``--no-plugins`` or ``NLPSUITE_PLUGINS``; empty where it may be used."""
    blocked = _names(BLOCKED)
    if any(plugin.is_called(name) for name in blocked) or (ALL in blocked and not plugin.bundled):
        return "--no-plugins"
    if ALLOWED not in os.environ or plugin.bundled:
        return ""
    return "" if any(plugin.is_called(name) for name in _names(ALLOWED)) else ALLOWED


def _names(variable: str) -> list[str]:
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]
