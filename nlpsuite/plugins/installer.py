"""Installing and uninstalling plugins with pip or uv. Loads no plugin."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any

from nlpsuite.errors import PluginInstallError
from nlpsuite.plugins.registry import normalized, registered
from nlpsuite.plugins.state import Installed

__all__ = ["install_command", "recordable", "run", "shown", "snapshot", "uninstall_command"]


def install_command(what: Iterable[str], options: Sequence[str] = ()) -> list[str]:
    """The command that installs into this environment.

    Args:
        what: as pip takes it: name, path, wheel, ``git+https://…``, also ``-r FILE`` and ``-e DIR``.
        options: of ``pip install`` that uv has too.

    Raises:
        PluginInstallError: neither pip nor uv is there.
    """
    return [*_installer("install"), *options, *what]


def uninstall_command(distribution: str) -> list[str]:
    """The command that removes a distribution from this environment.

    Raises:
        PluginInstallError: neither pip nor uv is there.
    """
    return [*_installer("uninstall"), distribution]


def _installer(verb: str) -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        # -P: a pip.py in the working directory is not pip.
        answers = ["--yes"] if verb == "uninstall" else []
        return [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", verb, *answers]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", verb, "--python", sys.executable]
    raise PluginInstallError(
        f"Neither pip nor uv is there to {verb} a plugin in the environment of {sys.executable}.",
        hint=f"Get pip with: {shlex.quote(sys.executable)} -m ensurepip. Or put uv on the PATH.",
    )


def shown(command: Sequence[str]) -> str:
    """A command as one would type it."""
    return shlex.join(command)


def run(command: Sequence[str]) -> None:
    """Run pip or uv; what it says goes to stderr.

    Raises:
        PluginInstallError: it failed.
    """
    sys.stderr.flush()
    try:
        done = subprocess.run(command, stdout=2, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise PluginInstallError(f"Can't start {command[0]}: {error.strerror}.") from None
    importlib.invalidate_caches()
    if done.returncode:
        raise PluginInstallError(
            f"{shown(command)} failed with code {done.returncode}.",
            hint="What went wrong stands above, in its own words.",
        )


def snapshot() -> dict[str, tuple[str, int]]:
    """Version of every installed distribution, by normalised name, and when it was installed."""
    importlib.invalidate_caches()
    found: dict[str, tuple[str, int]] = {}
    for distribution in metadata.distributions():
        try:
            fields = distribution.metadata
            name, version = "".join(fields.get_all("Name") or []), distribution.version
        except Exception:  # damaged metadata of whatever package
            continue
        if name:
            found.setdefault(normalized(name), (version, _installed_at(distribution)))
    return found


def recordable() -> dict[str, Installed]:
    """What would install each third party's plugin again, by normalised name."""
    found = {}
    for plugin in registered():
        if plugin.bundled or normalized(plugin.distribution) in found:
            continue
        try:
            distribution = metadata.distribution(plugin.distribution)
            found[normalized(plugin.distribution)] = _requirement(plugin.distribution, distribution)
        except (metadata.PackageNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            continue  # its metadata is damaged: there is nothing to go by
    return found


def _requirement(name: str, distribution: metadata.Distribution) -> Installed:
    """From ``direct_url.json`` (PEP 610), which pip and uv write; what has none came from an index."""
    version = distribution.version
    text = distribution.read_text("direct_url.json")
    if not text:
        return Installed(version, f"{name}=={version}")
    origin: dict[str, Any] = json.loads(text)
    url: str = origin["url"]
    inside = f"#subdirectory={origin['subdirectory']}" if origin.get("subdirectory") else ""
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return Installed(version, f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}{inside}")
    if "dir_info" in origin:
        from urllib.parse import urlsplit
        from urllib.request import url2pathname

        path = url2pathname(urlsplit(url).path)
        return Installed(version, path, editable=origin["dir_info"].get("editable") is True)
    sha256 = origin.get("archive_info", {}).get("hashes", {}).get("sha256")
    # With its digest, so that the file can't be another one next time.
    return Installed(version, f"{name} @ {url}#sha256={sha256}" if sha256 else f"{name} @ {url}{inside}")


def _installed_at(distribution: metadata.Distribution) -> int:
    """When its metadata was written: a plugin may come again in the same version."""
    try:
        return os.stat(getattr(distribution, "_path", "")).st_mtime_ns
    except (OSError, TypeError):
        return 0
