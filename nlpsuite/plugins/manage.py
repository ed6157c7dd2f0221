"""Installing, uninstalling, enabling and disabling plugins. Loads none of them, asks and prints nothing."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from nlpsuite.errors import OptionError, PluginInstallError, UnknownTaskError
from nlpsuite.plugins import installer
from nlpsuite.plugins.registry import known_plugins
from nlpsuite.plugins.scan import Plugin, normalized, path_files, refresh, registered
from nlpsuite.plugins.state import Installed, State, change_state, read_state

__all__ = [
    "Changes",
    "Recorded",
    "Removal",
    "describe",
    "details",
    "disable",
    "enable",
    "install",
    "install_command",
    "plan_removal",
    "plugins_called",
    "recordable",
    "recorded",
    "uninstall",
]


@dataclass(frozen=True)
class Changes:
    """What an installation changed.

    Attributes:
        plugins: that are new or were installed again, in whatever state.
        others: names and versions of other distributions that came along.
        errors: of the commands that failed, by their position.
    """

    plugins: tuple[Plugin, ...]
    others: tuple[str, ...]
    errors: dict[int, PluginInstallError]


@dataclass(frozen=True)
class Recorded:
    """A distribution on the record of installed plugins.

    Attributes:
        version: that is installed now; empty if it is missing.
        requirement: that pip would install.
        gone: the requirement is a path that no longer exists.
        command: that would install it.
    """

    name: str
    version: str
    requirement: str
    gone: bool
    command: list[str]


@dataclass(frozen=True)
class Removal:
    """What uninstalling would do.

    Attributes:
        plugins: that would go.
        command: to run; empty for a distribution that is recorded but not installed.
    """

    distribution: str
    plugins: tuple[Plugin, ...] = ()
    command: Sequence[str] = ()


def plugins_called(name: str) -> list[Plugin]:
    """The plugins of that name, key (``kind:name``) or distribution.

    Raises:
        UnknownTaskError: there is none; suggests the nearest.
        StorageError: the record of the user's decisions is damaged.
    """
    plugins = [plugin for plugin in known_plugins() if plugin.is_called(name)]
    if plugins:
        return plugins
    names = sorted({text for plugin in registered() for text in (plugin.key, plugin.distribution)})
    close = difflib.get_close_matches(name, names, n=1)
    suggestion = f"Did you mean {close[0]!r}? " if close else ""
    raise UnknownTaskError(
        f"There is no plugin {name!r}.", hint=f"{suggestion}`nlpsuite plugins list --all` shows them."
    )


def describe(plugin: Plugin) -> dict[str, Any]:
    """A plugin as JSON values."""
    names = "name kind distribution version state summary bundled module fault remedy".split()
    return {name: getattr(plugin, name) for name in names} | {"api": plugin.api_version}


def details(plugin: Plugin) -> dict[str, Any]:
    """``describe`` and where the plugin comes from: its file, and its distribution's metadata."""
    row = read_state().installed.get(normalized(plugin.distribution))
    found = describe(plugin) | {"file": plugin.file, "installed_as": row.requirement if row else ""}
    try:
        about = metadata.metadata(plugin.distribution)
    except metadata.PackageNotFoundError:
        return found

    def first(*fields: str) -> str:
        values = [text.strip() for field in fields for text in about.get_all(field) or [] if text.strip()]
        return values[0].splitlines()[0] if values else ""

    # Which task names which adapter, only an import would tell.
    files = metadata.files(plugin.distribution) or [] if not plugin.bundled else []
    return found | {
        "license": first("License-Expression", "License"),
        "author": first("Author", "Author-email"),
        "links": list(about.get_all("Project-URL") or about.get_all("Home-page") or []),
        "requires": [text for text in about.get_all("Requires-Dist") or [] if "extra ==" not in text],
        "adapters": [str(file) for file in files if file.suffix == ".safetensors"],
    }


def enable(name: str, distribution: str | None = None) -> list[Plugin]:
    """Enable a plugin or distribution again; with ``distribution``, use its plugin of that name.

    Returns:
        The plugins of that name as they are now: one may still be disabled with its distribution.

    Raises:
        UnknownTaskError: nothing has that name.
        OptionError: ``distribution`` offers no such plugin.
        StorageError: the record can't be read or written.
    """
    with change_state() as state:
        if distribution is not None:
            _choose(state, name, distribution)
        disabled = {entry for entry in state.disabled if normalized(entry) == normalized(name)}
        if not disabled:
            plugins_called(name)
        state.disabled -= disabled
        state.installed |= recordable()
    return plugins_called(name)


def _choose(state: State, name: str, distribution: str) -> None:
    offers = [plugin for plugin in plugins_called(name) if name in (plugin.name, plugin.key)]
    wanted = [plugin for plugin in offers if plugin.is_from(distribution)]
    if not wanted:
        others = ", ".join(sorted({plugin.distribution for plugin in offers})) or "nobody"
        raise OptionError(
            f"{distribution} offers no plugin {name!r}.",
            hint=f"It is offered by: {others}. Name one of these.",
        )
    for plugin in wanted:
        if plugin.bundled:
            state.chosen.pop(plugin.key, None)  # it takes precedence anyway
        else:
            state.chosen[plugin.key] = plugin.distribution


def disable(name: str) -> list[Plugin]:
    """Disable a plugin or distribution: it is neither listed nor used nor loaded.

    Returns:
        The plugins that are disabled by it.

    Raises:
        UnknownTaskError: nothing has that name.
        OptionError: it is nlpsuite itself.
        StorageError: the record can't be read or written.
    """
    plugins = plugins_called(name)
    if all(plugin.bundled and name not in (plugin.name, plugin.key) for plugin in plugins):
        raise OptionError(f"{name} is the suite itself.", hint="Name one of its tasks: nlpsuite plugins list")
    with change_state() as state:
        state.disabled.add(name)
        state.installed |= recordable()
    return plugins


def install_command(
    specs: Iterable[str] = (),
    *,
    requirements: Iterable[str] = (),
    editables: Iterable[str] = (),
    upgrade: bool = False,
    index_url: str | None = None,
    require_hashes: bool = False,
    no_deps: bool = False,
) -> list[str]:
    """The command that installs plugins into this environment; see ``install``.

    Args:
        specs: as pip takes them: name, path, wheel, ``git+https://…``.
        requirements: files that list what to install.
        editables: directories of projects to install in editable mode.

    Raises:
        OptionError: nothing is named.
        PluginInstallError: neither pip nor uv is available.
        StorageError: the record of the user's decisions is damaged.
    """
    what = [*specs]
    what += [word for file in requirements for word in ("-r", file)]
    what += [word for directory in editables for word in ("-e", directory)]
    if not what:
        raise OptionError("There is nothing to install.", hint="nlpsuite plugins install NAME, or -r FILE")
    read_state()  # a damaged record should show before anything is installed
    options = ["--upgrade"] if upgrade else []
    options += ["--index-url", index_url] if index_url else []
    options += ["--require-hashes"] if require_hashes else []
    options += ["--no-deps"] if no_deps else []
    return installer.installer_command("install", *options, *what)


def install(*commands: Sequence[str]) -> Changes:
    """Run commands of ``install_command``, record what is installed afterwards, and report what changed.

    If a command fails, the next ones still run.

    Raises:
        StorageError: the record can't be read or written.
    """
    before, paths = _snapshot(), path_files()
    errors: dict[int, PluginInstallError] = {}
    for number, command in enumerate(commands):
        try:
            installer.run_installer(command)
        except PluginInstallError as error:
            errors[number] = error
    refresh(paths)
    after = _snapshot()
    with change_state() as state:
        state.installed |= recordable()
    changed = {name for name, value in after.items() if before.get(name) != value}
    plugins = tuple(p for p in known_plugins() if normalized(p.distribution) in changed)
    others = changed - {normalized(plugin.distribution) for plugin in plugins}
    return Changes(
        plugins,
        tuple(
            f"{name} {f'{before[name][0]} -> ' if name in before else ''}{after[name][0]}"
            for name in sorted(others)
            if before.get(name, ("", 0))[0] != after[name][0]
        ),
        errors,
    )


def recorded() -> list[Recorded]:
    """The distributions that should be installed, by the record in ``plugins.json``.

    Raises:
        PluginInstallError: neither pip nor uv is available.
        StorageError: the record can't be read.
    """
    present = _snapshot()
    return [
        Recorded(
            name,
            present[name][0] if name in present else "",
            row.requirement,
            Path(row.requirement).is_absolute() and not Path(row.requirement).exists(),
            installer.installer_command("install", *(["-e"] if row.editable else []), row.requirement),
        )
        for name, row in read_state().installed.items()
    ]


def plan_removal(name: str) -> Removal:
    """What uninstalling the distribution or plugin ``name`` would remove, and how.

    Raises:
        UnknownTaskError: there is none.
        OptionError: it is bundled, or several distributions offer it.
        PluginInstallError: neither pip nor uv is available.
        StorageError: the record can't be read.
    """
    if normalized(name) in read_state().installed and not any(p.is_called(name) for p in registered()):
        return Removal(normalized(name))
    plugins = plugins_called(name)
    offers = sorted({p.distribution for p in plugins if p.is_from(name)} or {p.distribution for p in plugins})
    if len(offers) > 1:
        raise OptionError(
            f"{name!r} is offered by {' and '.join(offers)}.",
            hint=f"Name the distribution: nlpsuite plugins uninstall {offers[-1]}",
        )
    if plugins[0].bundled:
        raise OptionError(
            f"{name} is part of nlpsuite and can't be uninstalled alone.",
            hint=f"To do without it: nlpsuite plugins disable {plugins[0].key}",
        )
    going = tuple(plugin for plugin in registered() if plugin.distribution == offers[0])
    return Removal(offers[0], going, installer.installer_command("uninstall", offers[0]))


def uninstall(removal: Removal) -> None:
    """Uninstall a distribution, and forget it and every decision about it.

    Raises:
        PluginInstallError: pip or uv failed.
        StorageError: the record can't be read or written.
    """
    if removal.command:
        installer.run_installer(removal.command)
        refresh(path_files())
    with change_state() as state:
        state.installed.pop(normalized(removal.distribution), None)
        state.chosen = {
            key: chosen
            for key, chosen in state.chosen.items()
            if normalized(chosen) != normalized(removal.distribution)
        }
        left = {n for p in registered() if not p.is_from(removal.distribution) for n in (p.name, p.key)}
        gone = {n for p in removal.plugins for n in (p.name, p.key)} - left
        state.disabled = {
            entry
            for entry in state.disabled
            if entry not in gone and normalized(entry) != normalized(removal.distribution)
        }


def recordable() -> dict[str, Installed]:
    """What would install each third party's plugin again, by normalised name."""
    found = {}
    for name in {plugin.distribution for plugin in registered() if not plugin.bundled}:
        try:
            found[normalized(name)] = _requirement(name, metadata.distribution(name))
        except (metadata.PackageNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            continue  # damaged metadata: there is nothing to go by
    return found


def _requirement(name: str, distribution: metadata.Distribution) -> Installed:
    """From ``direct_url.json`` (PEP 610), which pip and uv write; without it, from an index."""
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
        path = url2pathname(urlsplit(url).path)
        return Installed(version, path, editable=origin["dir_info"].get("editable") is True)
    sha256 = origin.get("archive_info", {}).get("hashes", {}).get("sha256")
    # With its digest, so that it can't be another file next time.
    return Installed(version, f"{name} @ {url}#sha256={sha256}" if sha256 else f"{name} @ {url}{inside}")


def _snapshot() -> dict[str, tuple[str, int]]:
    """Version of every installed distribution, by normalised name, and when it was installed."""
    found: dict[str, tuple[str, int]] = {}
    for distribution in metadata.distributions():
        try:
            name, version = "".join(distribution.metadata.get_all("Name") or []), distribution.version
        except Exception:  # damaged metadata of any package
            continue
        if name:
            found.setdefault(normalized(name), (version, _installed_at(distribution)))
    return found


def _installed_at(distribution: metadata.Distribution) -> int:
    """When its metadata was written: a plugin may be installed again in the same version."""
    try:
        return os.stat(getattr(distribution, "_path", "")).st_mtime_ns
    except (OSError, TypeError):
        return 0
