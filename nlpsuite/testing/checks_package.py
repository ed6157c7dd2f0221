"""Checks of a plugin as a package: its metadata, what importing it does, and what a task declares."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nlpsuite.data.record import Columns
from nlpsuite.errors import PluginError
from nlpsuite.options import Options, make_options, option_specs
from nlpsuite.plugins.kinds import KINDS, TASK
from nlpsuite.tasks.adapters import adapter_fault, shipped_adapters
from nlpsuite.tasks.base import Task
from nlpsuite.testing.findings import CheckFailed, expect
from nlpsuite.testing.subject import IMPORT_SECONDS, Subject, shown

__all__ = ["COMMAND_CHECKS", "PACKAGE_CHECKS", "TASK_CHECKS", "TASK_NAME", "loads"]

_SUMMARY_CHARACTERS = 100
TASK_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def metadata(subject: Subject) -> str:
    """Its distribution, version and API are known without importing it; nobody else has its name."""
    plugin = subject.plugin
    where = f"pyproject.toml of {plugin.distribution}"
    message = f"the task's name is {plugin.name!r}; use lower-case letters, digits and single hyphens"
    expect(plugin.kind != TASK or TASK_NAME.fullmatch(plugin.name), message, where)
    named = plugin.distribution != "unknown" and plugin.version not in ("unknown", "")
    expect(named, "its distribution has no name or no version", where)
    expect(not plugin.rivals, f"the {plugin.kind} is also offered by {', '.join(plugin.rivals)}", where)
    return f"{plugin.distribution} {plugin.version}, {KINDS[plugin.kind].group}"


def summary(subject: Subject) -> str:
    """`nlpsuite list` has a line to show: the first of the module's docstring."""
    line, where = subject.plugin.summary, f"{subject.plugin.module}:1"
    expect(line, "the module has no docstring; its first line is shown by `nlpsuite list`", where)
    message = f"the docstring's first line has {len(line)} characters, more than {_SUMMARY_CHARACTERS}"
    expect(len(line) <= _SUMMARY_CHARACTERS, message, where)
    return line


def imports(subject: Subject) -> str:
    """Its module can be imported in a fresh interpreter."""
    found = subject.probed
    # Refusing network and heavy libraries may have been what broke it: their checks report that.
    expect(not found.problem or subject.refused, found.problem, subject.at(found.where))
    return subject.plugin.module


def imports_quickly(subject: Subject) -> str:
    """Importing it takes half a second at most, the suite's own imports aside. Of other plugins than tasks,
    which every run imports, the time is only reported."""
    seconds = subject.probed.seconds
    message = f"importing it takes {seconds:.2f} s, more than {IMPORT_SECONDS} s"
    message += "; import what is slow inside the function that needs it"
    expect(seconds <= IMPORT_SECONDS or subject.plugin.kind != TASK, message, subject.at(None))
    return f"{seconds * 1000:.0f} ms"


def imports_nothing_heavy(subject: Subject) -> None:
    """It imports no torch, transformers, tensorflow or jax at import, not even indirectly."""
    for name, where in subject.probed.heavy:
        raise CheckFailed(f"importing it imports {name}; do so inside a function", subject.at(where))


def imports_silently(subject: Subject) -> None:
    """It prints nothing at import; standard output is for results."""
    for text, where in subject.probed.printed:
        raise CheckFailed(f"importing it prints {shown(text)}", subject.at(where))


def imports_offline(subject: Subject) -> None:
    """It doesn't use the network at import."""
    for what, where in subject.probed.network:
        raise CheckFailed(f"importing it uses the network ({what})", subject.at(where))


def loads(subject: Subject) -> str:
    """Its hook returns the right thing; a task has the name of the entry point."""
    offered, plugin = subject.offered, subject.plugin
    if plugin.kind != TASK:
        return f"{plugin.module}, {plugin.kind} {plugin.name}"
    return f"{type(offered).__module__}.{type(offered).__qualname__}, version {offered.version}"


def has_help(subject: Subject) -> None:
    """A command has a docstring, which --help shows."""
    expect((subject.offered.help or "").strip(), "give the command a docstring, which --help shows")


def _is_columns(value: Any) -> bool:
    return isinstance(value, Columns) and all(
        not isinstance(names, str) and all(isinstance(name, str) for name in names) and (names or optional)
        for names, optional in ((value.text, False), (value.reference, False), (value.messages, True))
    )


# A task's attributes, which values they may have, and how a message says so.
_DECLARED: tuple[tuple[str, Callable[[Any], object], str], ...] = (
    ("version", lambda value: isinstance(value, str) and value, "a text such as '1'"),
    ("long_input", lambda value: value in ("split", "window", "error"), "'split', 'window' or 'error'"),
    ("merging", lambda value: value in ("map_reduce", "concat"), "'map_reduce' or 'concat'"),
    ("max_prompt_tokens", lambda value: value is None or (type(value) is int and value >= 64), "None or at least 64"),
    ("columns", _is_columns, "Columns(text=…, reference=…), both tuples of names"),
    ("labels", lambda value: all(key == key.strip().casefold() for key in value), "a mapping of lower-case keys"),
)  # fmt: skip


def declarations(subject: Subject) -> str:
    """The class attributes have meaningful values; what happens to long texts is declared."""
    task = subject.task
    for name, fits, wanted in _DECLARED:
        value = getattr(task, name)
        expect(fits(value), f"{name} is {value!r}, must be {wanted}", subject.place(name))
    own = [cls for cls in type(task).__mro__ if issubclass(cls, Task) and cls is not Task]
    message = "long_input isn't declared; a text too long for one prompt needs 'split', 'window' or 'error'"
    expect(any("long_input" in vars(cls) for cls in own), message)
    return f"long texts: {task.long_input}"


def options(subject: Subject) -> str:
    """Every option has help and a default that is one of its values; none has a reserved name."""
    cls = subject.task.options
    message = f"options is {cls!r}, must be a class derived from Options"
    expect(isinstance(cls, type) and issubclass(cls, Options), message)
    decorated = cls is Options or ("__dataclass_fields__" in vars(cls) and dataclasses.is_dataclass(cls))
    expect(decorated, f"{cls.__name__} needs the decorator @dataclass(frozen=True)")
    try:
        specs = option_specs(cls)
    except (PluginError, TypeError, NameError) as error:
        raise CheckFailed(getattr(error, "message", str(error))) from None
    for spec in specs:
        expect(spec.help, f"option {spec.name!r} has no help: declare it with option(default, help)")
        expect(spec.default is not dataclasses.MISSING, f"option {spec.name!r} has no default")
        for value in (spec.default, *spec.choices):
            _accept(cls, {spec.name: value})
    return ", ".join(spec.name for spec in specs) or "none"


def adapter_options(subject: Subject) -> str:
    """The options that an adapter is trained with, and those for few-shot examples, the user's own prompts and these
    checks, are options of the task and JSON values."""
    for name in ("adapter_options", "capable_options", "shots_options", "template_options", "sample_options"):
        given, where = dict(getattr(subject.task, name)), subject.place(name)
        _accept(subject.task.options, given, where)
        try:
            same = json.loads(json.dumps(given, allow_nan=False)) == given
        except (TypeError, ValueError):
            same = False
        expect(same, f"{given!r} isn't the same after writing and reading it as JSON", where)
    return ", ".join(subject.task.adapter_options) or "the defaults"


def adapter(subject: Subject) -> str:
    """The adapters that the task names, if any, are in its package, whole, and for this task and version."""
    task = subject.task
    expect(isinstance(task.adapter, str), f"adapter is {task.adapter!r}, must name a .safetensors file")
    try:
        paths = shipped_adapters(task)
        fault = next(filter(None, (adapter_fault(task, path) for path in paths)), None)
    except PluginError as error:
        raise CheckFailed(error.message) from None
    if fault:
        raise CheckFailed(fault.message)
    return "; ".join(_fitting(task, path) for path in paths) or "none"


def _fitting(task: Task[Any], path: Path) -> str:
    from nlpsuite.models.adapter import Adapter

    info, size = Adapter.open(path).info, path.stat().st_size
    message = f"{path.name} was trained for version {info.task_version!r} of the task, not {task.version!r}"
    expect(info.task_version == task.version, message)
    _accept(task.options, dict(info.options))
    return f"{path.name}, {size / 1e6:.1f} MB, rank {info.rank}, for {info.base}"


def _accept(cls: type[Options], values: dict[str, Any], where: str = "") -> None:
    try:
        make_options(cls, values)
    except Exception as error:  # an OptionError, or whatever the class's own __post_init__ raises
        raise CheckFailed(f"{values} is not accepted: {error}".replace("\n", " "), where) from None


PACKAGE_CHECKS = (
    metadata, summary, imports, imports_quickly, imports_nothing_heavy, imports_silently, imports_offline, loads
)  # fmt: skip
TASK_CHECKS: Mapping[Callable[[Subject], str | None], str] = {
    declarations: "",
    options: "options",
    adapter_options: "adapter_options",
    adapter: "adapter",
}
COMMAND_CHECKS = (has_help,)
