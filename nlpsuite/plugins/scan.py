"""What the installed distributions register, from their metadata. Imports no plugin."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import os
import re
import site
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from nlpsuite import __version__
from nlpsuite.plugins.builtin import BUILTIN
from nlpsuite.plugins.kinds import API_VERSION, KINDS, TASK

__all__ = ["Plugin", "normalized", "path_files", "refresh", "registered"]

_KIND_OF_GROUP = {kind.prefix: kind.name for kind in KINDS.values()}
_ORDER = {name: place for place, name in enumerate(KINDS)}
_CORE = "nlpsuite"


@dataclass(frozen=True)
class Plugin:
    """A task, metric or other thing that an installed distribution registers, from its metadata alone.

    Attributes:
        name: of the task, metric, scheme, suffix or verb, and of its entry point.
        module: to import.
        distribution, version: that registers it.
        rivals: other distributions that offer the same name and are passed over.
        attribute: of the module that holds the hooks; empty if the module itself does.
        api_version: of the contract that it was written for; None if unreadable.
        fault: why it can't be loaded, as far as that shows without an import; usually empty.
        state, remedy: see ``known_plugins``.
        kind: one of ``KINDS``.
    """

    name: str
    module: str
    distribution: str
    version: str
    rivals: tuple[str, ...] = ()
    attribute: str = ""
    api_version: int | None = API_VERSION
    fault: str = ""
    state: str = "enabled"
    remedy: str = ""
    kind: str = TASK
    _description: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.key} of {self.distribution} {self.version}"

    @property
    def bundled(self) -> bool:
        """It comes with nlpsuite itself."""
        return normalized(self.distribution) == _CORE

    @property
    def builtin(self) -> bool:
        """It is part of the core, without an entry point."""
        return self.bundled and self.name in BUILTIN.get(self.kind, ())

    @property
    def summary(self) -> str:
        """First line of the module's docstring, read from its source; failing that, the distribution's
        summary."""
        return _docstring(self.module).strip().split("\n")[0].strip() or self._description

    @property
    def file(self) -> str:
        """The file of its module; empty if there is none."""
        return _source(self.module)

    @property
    def home(self) -> str:
        """What the paths of its files begin with: its package's directory, or its only file."""
        spec = _spec(self.module)
        if spec and spec.submodule_search_locations:
            return os.path.join(next(iter(spec.submodule_search_locations)), "")
        return spec.origin or "?" if spec else "?"

    @property
    def key(self) -> str:
        """Its unambiguous name: a task's own, ``kind:name`` for other kinds."""
        return self.name if self.kind == TASK else f"{self.kind}:{self.name}"

    def is_called(self, name: str) -> bool:
        """``name`` is the plugin's own, its ``key`` or its distribution's."""
        return name in (self.name, self.key) or self.is_from(name)

    def is_from(self, distribution: str) -> bool:
        """It was installed with ``distribution``."""
        return normalized(self.distribution) == normalized(distribution)


def normalized(distribution: str) -> str:
    """A distribution's name as indexes compare it: My_Plugin and my-plugin are the same."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def registered() -> tuple[Plugin, ...]:
    """All registrations under any version of the contract, tasks first, by name, bundled ones first.

    The working directory is not searched: anything may lie there.
    """
    return _scan(tuple((path, _changed(path)) for path in sys.path if path))


def path_files() -> dict[Path, int]:
    """The ``.pth`` files of this environment, with the times of their last changes."""
    directories = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        directories.append(site.getusersitepackages())
    return {
        file: _changed(str(file))
        for directory in directories
        for file in sorted(Path(directory).glob("*.pth"))
    }


def refresh(before: dict[Path, int]) -> None:
    """Make what was just installed importable in this process, and forget what was removed.

    Python reads ``.pth`` files, on which editable installs rely, only when it starts; new ones are read
    here.

    Args:
        before: what ``path_files`` returned before the installation.
    """
    importlib.invalidate_caches()
    _scan.cache_clear()
    for file, changed in path_files().items():
        if before.get(file) != changed:
            site.addpackage(str(file.parent), file.name, None)


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=2)
def _scan(places: tuple[tuple[str, int], ...]) -> tuple[Plugin, ...]:
    """``places`` are the directories to search, with their times, so that an installation is noticed."""
    found: dict[tuple[str, str], Plugin] = {}
    for kind, references in BUILTIN.items():
        for name, reference in references.items():
            module, _, attribute = reference.partition(":")
            plugin = Plugin(name, module, _CORE, __version__, attribute=attribute, kind=kind)
            found[plugin.key, _CORE] = plugin
    for distribution in metadata.distributions(path=[path for path, _ in places]):
        for plugin in _registrations(distribution):
            # An editable and an ordinary install may list the same entry point: the first is imported.
            found.setdefault((plugin.key, normalized(plugin.distribution)), plugin)

    def place(plugin: Plugin) -> tuple[int, str, bool, str]:
        return (_ORDER[plugin.kind], plugin.name, not plugin.bundled, normalized(plugin.distribution))

    return tuple(sorted(found.values(), key=place))


def _registrations(distribution: metadata.Distribution) -> Iterator[Plugin]:
    """What one distribution registers. Damaged metadata is a fault of its own, not of the search."""
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except (OSError, ValueError):
        return
    if not any(prefix in text for prefix in _KIND_OF_GROUP):  # nearly all: don't parse their metadata
        return
    name, version, description = _named(distribution)
    try:
        entries = [
            (entry, prefix)
            for entry in distribution.entry_points
            for prefix in _KIND_OF_GROUP
            if entry.group.startswith(prefix)
        ]
    except Exception as error:
        fault = f"its entry_points.txt can't be read: {error}"
        yield Plugin(name, "", name, version, api_version=None, fault=fault)
        return
    # A plugin may be written for several versions of the contract: ours counts.
    for entry, prefix in sorted(entries, key=lambda found: found[0].group != f"{found[1]}{API_VERSION}"):
        number = entry.group.removeprefix(prefix)
        api_version = int(number) if number.isascii() and number.isdigit() else None
        try:
            module, attribute, fault = entry.module, entry.attr or "", ""
        except (AttributeError, ValueError, AssertionError):  # the entry point's value isn't a reference
            module, attribute, fault = "", "", f"its entry point names no module: {entry.value!r}"
        if not fault and api_version is None:
            fault = f"its group is called {entry.group!r}"
        if not fault and api_version == API_VERSION and _spec(module) is None:
            fault = f"there is no module {module}"
        yield Plugin(entry.name, module, name, version, (), attribute, api_version, fault,
                     kind=_KIND_OF_GROUP[prefix], _description=description)  # fmt: skip


def _named(distribution: metadata.Distribution) -> tuple[str, str, str]:
    """Name, version and summary, as far as they can be read."""
    try:
        fields = distribution.metadata
        values = [fields.get_all(key) or [] for key in ("Name", "Version", "Summary")]
    except Exception:  # which errors the parser of a broken file raises is not documented
        return "unknown", "unknown", ""
    name, version, description = (str(value[0]).strip() if value else "" for value in values)
    return name or "unknown", version or "unknown", description


def _spec(module: str) -> ModuleSpec | None:
    # Of the top-level package: to find a submodule, Python would import its parents.
    try:
        return importlib.util.find_spec(module.split(".")[0])
    except (ImportError, ValueError):
        return None


def _docstring(module: str) -> str:
    with (
        contextlib.suppress(OSError, SyntaxError, ValueError, tokenize.TokenError),
        open(_source(module), encoding="utf-8") as file,
    ):
        tokens = tokenize.generate_tokens(file.readline)
        first = next(token for token in tokens if token.type not in (tokenize.COMMENT, tokenize.NL))
        return str(ast.literal_eval(first.string)) if first.type == tokenize.STRING else ""
    return ""


def _source(module: str) -> str:
    """The file of a module, even of one inside a package, without importing the package."""
    spec = _spec(module)
    for name in module.split(".")[1:]:
        spec = spec and PathFinder.find_spec(name, spec.submodule_search_locations or [])
    return spec.origin or "" if spec else ""
