"""What ``scheme:rest`` names: a base that a plugin of that scheme knows how to get."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlpsuite.export.base import Base, says_offline
from nlpsuite.plugins.discovery import find_plugin, known_plugins
from nlpsuite.plugins.loading import failure, load_plugin

if TYPE_CHECKING:
    from nlpsuite.export.base import ModelSource

__all__ = ["base_named"]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.ASCII)  # two characters or more: C: is a drive


def base_named(spec: str | None, *, offline: bool = False) -> str | Base | None:
    """The base that ``spec`` names if it begins with the scheme of a plugin; otherwise ``spec``, a path
    or a name that needs no plugin.

    Args:
        offline: fetch nothing; so do NLPSUITE_OFFLINE=1 and HF_HUB_OFFLINE=1.

    Raises:
        UnknownTaskError: the scheme's plugin is disabled or blocked.
        PluginError: it fails to import, raises, or breaks the contract.
        ModelNotFoundError: it says that there is no such model.
    """
    match = _SCHEME.match(spec or "")
    if spec is None or match is None:
        return spec
    scheme = match[1]
    if not any((plugin.kind, plugin.name) == ("source", scheme) for plugin in known_plugins()):
        return spec
    plugin = find_plugin("source", scheme)
    source: ModelSource = load_plugin(plugin)
    base = source(spec[match.end() :], offline=offline or says_offline())
    if not isinstance(base, Base):
        raise failure(plugin, f"its source gave {type(base).__name__} instead of a Base")
    return base
