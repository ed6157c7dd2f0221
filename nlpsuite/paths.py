"""Where nlpsuite stores things on this machine. These functions create nothing."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = [
    "bases_dir",
    "bundles_dir",
    "cache_dir",
    "config_path",
    "data_dir",
    "history_path",
    "licenses_path",
]


def cache_dir() -> Path:
    """The cache: ``$NLPSUITE_CACHE`` if set, else the platform's user cache directory."""
    override = os.environ.get("NLPSUITE_CACHE")
    if override:
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("nlpsuite", appauthor=False))


def bundles_dir() -> Path:
    """The cache of bundles built on this machine, a directory each."""
    return cache_dir() / "bundles"


def bases_dir() -> Path:
    """The cache of bases downloaded for training and export."""
    return cache_dir() / "bases"


def config_path() -> Path:
    """The user's configuration: ``$NLPSUITE_CONFIG`` if set, else ``config.toml`` in
    ``$NLPSUITE_CONFIG_DIR`` or the platform's user configuration directory."""
    override = os.environ.get("NLPSUITE_CONFIG")
    if override:
        return Path(override).expanduser()
    directory = os.environ.get("NLPSUITE_CONFIG_DIR")
    if directory:
        return Path(directory).expanduser() / "config.toml"
    import platformdirs

    return Path(platformdirs.user_config_dir("nlpsuite", appauthor=False)) / "config.toml"


def history_path() -> Path:
    """The input history of dialogues, in ``data_dir``."""
    return data_dir() / "history"


def licenses_path() -> Path:
    """The record of accepted licenses, in ``data_dir``."""
    return data_dir() / "licenses.json"


def data_dir() -> Path:
    """What the user would miss: ``$NLPSUITE_DATA`` or the platform's user data directory."""
    override = os.environ.get("NLPSUITE_DATA")
    if override:
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("nlpsuite", appauthor=False))
