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

__all__ = [
    "API_VERSION",
    "ENTRY_POINT_GROUP",
    "TaskPlugin",
    "has_module",
    "module_file",
    "normalized",
    "registered",
]

API_VERSION = 1
# The group's name carries the contract's version, which can thus be read without an import.
# It stands here and not in hookspecs, which imports pluggy: listing must be quick.
_GROUP_PREFIX = "nlpsuite.tasks.v"
ENTRY_POINT_GROUP = f"{_GROUP_PREFIX}{API_VERSION}"
_CORE = "nlpsuite"
_HEAD_CHARACTERS = 8192
_DOCSTRING = re.compile(
    r"(?:\s|#[^\n]*\n|\\\n)*[rRuU]?(?P<text>\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|\"[^\"\n]+\"|'[^'\n]+')",
    re.DOTALL,
)


@dataclass(frozen=True)
class TaskPlugin:
    """A task that an installed distribution registers, from its metadata alone.

    Attributes:
        name: of the task and its entry point.
        module: that would be imported.
        distribution, version: that it came with.
        rivals: other distributions that offer the same name and are passed over.
        attribute: of the module that holds the hooks; empty where it is the module itself.
        api_version: of the contract that it is written for; None where that can't be read.
        fault: why it can't be loaded, as far as that shows without an import; usually empty.
        state, remedy: what ``known_plugins`` found; see there.
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

    def is_called(self, name: str) -> bool:
        """``name`` is the task's or the distribution's."""
        return name == self.name or normalized(name) == normalized(self.distribution)


def normalized(distribution: str) -> str:
    """A distribution's name as indexes compare it: My_Plugin and my-plugin are one."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def registered() -> tuple[TaskPlugin, ...]:
    """All registrations under any version of the contract, by name, bundled ones first.

    The working directory is not searched: it may be anybody's.
    """
    return _scan(tuple((path, _changed(path)) for path in sys.path if path))


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=2)
def _scan(places: tuple[tuple[str, int], ...]) -> tuple[TaskPlugin, ...]:
    """``places`` are the directories to search, with their times, so that an installation is noticed."""
    found: dict[tuple[str, str], TaskPlugin] = {}
    for distribution in metadata.distributions(path=[path for path, _ in places]):
        for plugin in _registrations(distribution):
            # An editable and an ordinary install may list the same entry point twice: the first is imported.
            found.setdefault((plugin.name, normalized(plugin.distribution)), plugin)
    return tuple(sorted(found.values(), key=lambda p: (p.name, not p.bundled, normalized(p.distribution))))


def _registrations(distribution: metadata.Distribution) -> Iterator[TaskPlugin]:
    """The tasks of one distribution. Damage in its metadata is a fault of its own, not of the search."""
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except (OSError, ValueError):
        return
    if _GROUP_PREFIX not in text:  # nearly all: their metadata need not be parsed
        return
    name, version, description = _named(distribution)
    try:
        entries = [entry for entry in distribution.entry_points if entry.group.startswith(_GROUP_PREFIX)]
        # A plugin may be written for several versions: ours counts.
        entries.sort(key=lambda entry: entry.group != ENTRY_POINT_GROUP)
    except Exception as error:
        fault = f"its entry_points.txt can't be read: {error}"
        yield TaskPlugin(name, "", name, version, api_version=None, fault=fault)
        return
    for entry in entries:
        number = entry.group.removeprefix(_GROUP_PREFIX)
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
        yield TaskPlugin(entry.name, module, name, version, (), attribute, api_version, fault,
                         _description=description)  # fmt: skip


def _named(distribution: metadata.Distribution) -> tuple[str, str, str]:
    """Name, version and summary, as far as they can be read."""
    try:
        fields = distribution.metadata
        values = [fields.get_all(key) or [] for key in ("Name", "Version", "Summary")]
    except Exception:  # what a parser of broken files may raise is not documented
        return "unknown", "unknown", ""
    name, version, description = (str(value[0]).strip() if value else "" for value in values)
    return name or "unknown", version or "unknown", description


def has_module(plugin: TaskPlugin) -> bool:
    """The plugin's module can be found; of a submodule, the package it is in. Imports nothing."""
    return _spec(plugin.module) is not None


def module_file(plugin: TaskPlugin) -> str:
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
    spec = None if "." in module else _spec(module)
    if spec is None or not spec.origin:
        return ""
    try:
        with open(spec.origin, encoding="utf-8") as file:
            match = _DOCSTRING.match(file.read(_HEAD_CHARACTERS))
        return str(ast.literal_eval(match["text"])) if match else ""
    except (OSError, SyntaxError, ValueError):
        return ""
