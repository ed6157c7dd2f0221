"""What the installed distributions register, from their metadata. Imports no plugin."""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from importlib.machinery import ModuleSpec

from nlpsuite import __version__
from nlpsuite.plugins.builtin import BUILTIN
from nlpsuite.plugins.kinds import API_VERSION, ENTRY_POINT_GROUP, KINDS, TASK

__all__ = [
    "API_VERSION",
    "ENTRY_POINT_GROUP",
    "Plugin",
    "has_module",
    "module_file",
    "normalized",
    "registered",
]

_KIND_OF_GROUP = {kind.prefix: kind.name for kind in KINDS.values()}
_ORDER = {name: place for place, name in enumerate(KINDS)}
_CORE = "nlpsuite"
_HEAD_CHARACTERS = 8192
_DOCSTRING = re.compile(
    r"(?:\s|#[^\n]*\n|\\\n)*[rRuU]?(?P<text>\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|\"[^\"\n]+\"|'[^'\n]+')",
    re.DOTALL,
)


@dataclass(frozen=True)
class Plugin:
    """A task, metric or what else an installed distribution registers, from its metadata alone.

    Attributes:
        name: of the task, metric, scheme, suffix or verb, and of its entry point.
        module: that would be imported.
        distribution, version: that it came with.
        rivals: other distributions that offer the same name and are passed over.
        attribute: of the module that holds the hooks; empty where it is the module itself.
        api_version: of the contract that it is written for; None where that can't be read.
        fault: why it can't be loaded, as far as that shows without an import; usually empty.
        state, remedy: what ``known_plugins`` found; see there.
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

    @property
    def bundled(self) -> bool:
        """It comes with nlpsuite itself."""
        return normalized(self.distribution) == _CORE

    @property
    def summary(self) -> str:
        """First line of the module's docstring, read from its source without importing it; where that
        can't be had, the distribution's own summary."""
        return _docstring(self.module).strip().split("\n")[0].strip() or self._description

    @property
    def key(self) -> str:
        """What names it alone: a task's name; of other kinds ``kind:name``."""
        return self.name if self.kind == TASK else f"{self.kind}:{self.name}"

    @property
    def builtin(self) -> bool:
        """It is part of the core, without an entry point."""
        return self.bundled and self.name in BUILTIN.get(self.kind, ())

    def is_called(self, name: str) -> bool:
        """``name`` is the plugin's own, its ``key`` or the distribution's."""
        return name in (self.name, self.key) or normalized(name) == normalized(self.distribution)


def normalized(distribution: str) -> str:
    """A distribution's name as indexes compare it: My_Plugin and my-plugin are one."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def registered() -> tuple[Plugin, ...]:
    """All registrations under any version of the contract, tasks first, by name, bundled ones first.

    The working directory is not searched: it may be anybody's.
    """
    return _scan(tuple((path, _changed(path)) for path in sys.path if path))


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
            # An editable and an ordinary install may list the same entry point twice: the first is imported.
            found.setdefault((plugin.key, normalized(plugin.distribution)), plugin)

    def place(plugin: Plugin) -> tuple[int, str, bool, str]:
        return (_ORDER[plugin.kind], plugin.name, not plugin.bundled, normalized(plugin.distribution))

    return tuple(sorted(found.values(), key=place))


def _registrations(distribution: metadata.Distribution) -> Iterator[Plugin]:
    """What one distribution registers. Damage in its metadata is a fault of its own, not of the search."""
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except (OSError, ValueError):
        return
    if not any(prefix in text for prefix in _KIND_OF_GROUP):  # nearly all: their metadata need not be parsed
        return
    name, version, description = _named(distribution)
    try:
        entries = [
            (entry, prefix)
            for entry in distribution.entry_points
            for prefix in _KIND_OF_GROUP
            if entry.group.startswith(prefix)
        ]
        # A plugin may be written for several versions: ours counts.
        entries.sort(key=lambda found: found[0].group != f"{found[1]}{API_VERSION}")
    except Exception as error:
        fault = f"its entry_points.txt can't be read: {error}"
        yield Plugin(name, "", name, version, api_version=None, fault=fault)
        return
    for entry, prefix in entries:
        number = entry.group.removeprefix(prefix)
        api_version = int(number) if number.isascii() and number.isdigit() else None
        try:
            module, attribute, fault = entry.module, entry.attr or "", ""
        except (
            AttributeError,
            ValueError,
            AssertionError,
        ):  # what EntryPoint raises where the value is no reference
            module, attribute = "", ""
            fault = f"its entry point names no module: {entry.value!r}"
        if api_version is None:
            fault = fault or f"its group is called {entry.group!r}"
        yield Plugin(entry.name, module, name, version, (), attribute, api_version, fault,
                         kind=_KIND_OF_GROUP[prefix], _description=description)  # fmt: skip


def _named(distribution: metadata.Distribution) -> tuple[str, str, str]:
    """Name, version and summary, as far as they can be read."""
    try:
        fields = distribution.metadata
        values = [fields.get_all(key) or [] for key in ("Name", "Version", "Summary")]
    except Exception:  # what a parser of broken files may raise is not documented
        return "unknown", "unknown", ""
    name, version, description = (str(value[0]).strip() if value else "" for value in values)
    return name or "unknown", version or "unknown", description


def has_module(plugin: Plugin) -> bool:
    """The plugin's module can be found; of a submodule, the package it is in. Imports nothing."""
    return _spec(plugin.module) is not None


def module_file(plugin: Plugin) -> str:
    """The file of the plugin's module or of the package that it is in; empty where there is none."""
    spec = _spec(plugin.module)
    return spec.origin or "" if spec else ""


def _spec(module: str) -> ModuleSpec | None:
    # Of a top-level module: to find a submodule, Python would import its parents.
    try:
        return importlib.util.find_spec(module.split(".")[0])
    except (ImportError, ValueError):
        return None


def _docstring(module: str) -> str:
    path = _source(module)
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8") as file:
            match = _DOCSTRING.match(file.read(_HEAD_CHARACTERS))
        return str(ast.literal_eval(match["text"])) if match else ""
    except (OSError, SyntaxError, ValueError):
        return ""


def _source(module: str) -> str:
    """The file of a module, also of one inside a package, which is not imported to find it."""
    spec = _spec(module)
    inner = module.split(".")[1:]
    if spec is None or not inner:
        return spec.origin or "" if spec else ""
    for place in spec.submodule_search_locations or ():
        path = os.path.join(place, *inner)
        for candidate in (f"{path}.py", os.path.join(path, "__init__.py")):
            if os.path.isfile(candidate):
                return candidate
    return ""
