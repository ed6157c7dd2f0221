"""Checks of a plugin as a package: its metadata, and what importing it does."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from nlpsuite.data.record import Columns
from nlpsuite.errors import PluginError
from nlpsuite.options import Options, make_options, option_specs
from nlpsuite.plugins import ENTRY_POINT_GROUP
from nlpsuite.tasks.adapters import adapter_fault, own_adapter
from nlpsuite.tasks.base import Task
from nlpsuite.testing.findings import CheckFailed, place_in_file
from nlpsuite.testing.subject import Subject, shown

__all__ = [
    "TASK_NAME",
    "adapter",
    "adapter_options",
    "declarations",
    "imports",
    "imports_nothing_heavy",
    "imports_offline",
    "imports_quickly",
    "imports_silently",
    "loads",
    "metadata",
    "options",
    "summary",
]

IMPORT_SECONDS = 0.5  # of the plugin alone; a user waits for it at every run
_SUMMARY_CHARACTERS = 100
TASK_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

# The names that `nlpsuite run TASK` uses for all tasks.


def metadata(subject: Subject) -> str:
    """Its distribution, version and API can be read without importing it; nobody else has its name."""
    plugin = subject.plugin
    where = f"pyproject.toml of {plugin.distribution}"
    if not TASK_NAME.fullmatch(plugin.name):
        raise CheckFailed(
            f"the task's name is {plugin.name!r}; use lower-case letters, digits and single hyphens", where
        )
    if plugin.distribution == "unknown" or plugin.version in ("unknown", ""):
        raise CheckFailed("its distribution has no name or no version", where)
    if plugin.rivals:
        raise CheckFailed(f"the task is offered by {', '.join(plugin.rivals)} as well", where)
    return f"{plugin.distribution} {plugin.version}, {ENTRY_POINT_GROUP}"


def summary(subject: Subject) -> str:
    """`nlpsuite list` has a line to show: the first of the module's docstring."""
    line, where = subject.plugin.summary, f"{subject.plugin.module}:1"
    if not line:
        raise CheckFailed("the module has no docstring; its first line is shown by `nlpsuite list`", where)
    if len(line) > _SUMMARY_CHARACTERS:
        raise CheckFailed(
            f"the docstring's first line has {len(line)} characters; at most {_SUMMARY_CHARACTERS} fit a list",
            where,
        )
    return line


def imports(subject: Subject) -> str:
    """Its module can be imported in a fresh interpreter."""
    error = subject.imported["error"]
    # Refusing network and heavy libraries may have been what broke it: their checks say so.
    if error and not subject.imported["network"] and not subject.imported["heavy"]:
        raise CheckFailed(f"importing {subject.plugin.module} raised {error[0]}", _at(subject, error[1]))
    return subject.plugin.module


def imports_quickly(subject: Subject) -> str:
    """Importing it takes half a second at most, the suite's own imports aside."""
    seconds = subject.imported["seconds"]
    if seconds > IMPORT_SECONDS:
        raise CheckFailed(
            f"importing it takes {seconds:.2f} s, more than {IMPORT_SECONDS} s; import what is slow inside "
            "the function that needs it",
            _at(subject, None),
        )
    return f"{seconds * 1000:.0f} ms"


def imports_nothing_heavy(subject: Subject) -> str:
    """No torch, transformers, tensorflow or jax at import; nor from what it imports."""
    for name, where in subject.imported["heavy"]:
        raise CheckFailed(
            f"it imports {name} when it is imported; do that inside a function", _at(subject, where)
        )
    return ""


def imports_silently(subject: Subject) -> str:
    """Nothing is printed at import; results have standard output to themselves."""
    for text, where in subject.imported["printed"]:
        raise CheckFailed(f"it prints {shown(text)} when it is imported", _at(subject, where))
    return ""


def imports_offline(subject: Subject) -> str:
    """No network at import."""
    for what, where in subject.imported["network"]:
        raise CheckFailed(f"it uses the network when it is imported ({what})", _at(subject, where))
    return ""


def loads(subject: Subject) -> str:
    """Its hook returns a Task, by the name of the entry point."""
    task = subject.task
    return f"{type(task).__module__}.{type(task).__qualname__}, version {task.version}"


def declarations(subject: Subject) -> str:
    """The class attributes have values that mean something; what happens to long texts is declared."""
    task = subject.task
    if not isinstance(task.version, str) or not task.version:
        raise CheckFailed(
            f"version is {task.version!r}, must be a text such as '1'", subject.place("version")
        )
    allowed = {"long_input": ("split", "window", "error"), "merging": ("map_reduce", "concat")}
    for name, values in allowed.items():
        if getattr(task, name) not in values:
            raise CheckFailed(
                f"{name} is {getattr(task, name)!r}, must be {' or '.join(map(repr, values))}",
                subject.place(name),
            )
    if not any(
        "long_input" in vars(cls) for cls in type(task).__mro__ if issubclass(cls, Task) and cls is not Task
    ):
        raise CheckFailed(
            "long_input is not declared: say what happens to a text too long for one prompt: 'split', "
            "'window' or 'error'",
            subject.place(),
        )
    most = task.max_prompt_tokens
    if most is not None and (type(most) is not int or most < 64):
        raise CheckFailed(
            f"max_prompt_tokens is {most!r}, must be None or 64 and more", subject.place("max_prompt_tokens")
        )
    columns = task.columns
    if not isinstance(columns, Columns) or not (columns.text and columns.reference):
        raise CheckFailed(
            "columns must be Columns(text=…, reference=…), both with names", subject.place("columns")
        )
    for names in (columns.text, columns.reference, columns.messages):
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise CheckFailed(
                f"columns has {names!r} where a tuple of names belongs", subject.place("columns")
            )
    if any(key != key.strip().casefold() for key in task.labels):
        raise CheckFailed("labels has a key that is not in lower case", subject.place("labels"))
    return f"long texts: {task.long_input}"


def options(subject: Subject) -> str:
    """Every option has help and a default that is one of its values; none has a name of the suite's."""
    cls = subject.task.options
    where = subject.place("options")
    if not (isinstance(cls, type) and issubclass(cls, Options)):
        raise CheckFailed(f"options is {cls!r}, must be a class derived from Options", where)
    if cls is not Options and not ("__dataclass_fields__" in vars(cls) and dataclasses.is_dataclass(cls)):
        raise CheckFailed(f"{cls.__name__} needs the decorator @dataclass(frozen=True)", where)
    try:
        specs = option_specs(cls)
    except (TypeError, NameError) as error:
        raise CheckFailed(str(error), where) from None
    for spec in specs:
        if not spec.help:
            raise CheckFailed(
                f"option {spec.name!r} has no help: declare it with option(default, help)", where
            )
        if spec.default is dataclasses.MISSING:
            raise CheckFailed(f"option {spec.name!r} has no default", where)
        for value in (spec.default, *spec.choices):
            _accepted(cls, {spec.name: value}, where)
    return ", ".join(spec.name for spec in specs) or "none"


def adapter_options(subject: Subject) -> str:
    """The options that an adapter is trained with, and those for few-shot examples, are options of the
    task and can be kept as JSON.
    """
    for name in ("adapter_options", "shots_options"):
        given, where = dict(getattr(subject.task, name)), subject.place(name)
        _accepted(subject.task.options, given, where)
        try:
            same = json.loads(json.dumps(given, allow_nan=False)) == given
        except (TypeError, ValueError):
            same = False
        if not same:
            raise CheckFailed(f"{given!r} is not the same after writing and reading it as JSON", where)
    return ", ".join(subject.task.adapter_options) or "the defaults"


def adapter(subject: Subject) -> str:
    """The adapter that the task names, if it does, is in its package, whole, and of this task and version."""
    task, where = subject.task, subject.place("adapter")
    if not isinstance(task.adapter, str):
        raise CheckFailed(f"adapter is {task.adapter!r}, must be the name of a .safetensors file", where)
    try:
        path = own_adapter(task)
        fault = adapter_fault(task, path) if path else None
    except PluginError as error:
        fault = error
    if fault:
        raise CheckFailed(fault.message, where)
    if path is None:
        return "none"
    from nlpsuite.models.adapter import Adapter

    info, size = Adapter.open(path).info, path.stat().st_size
    if info.task_version != task.version:
        raise CheckFailed(
            f"{path.name} was trained for version {info.task_version!r} of the task; this is version {task.version!r}",
            where,
        )
    _accepted(task.options, dict(info.options), where)
    return f"{path.name}, {size / 1e6:.1f} MB, rank {info.rank}, for {info.base}"


def _accepted(cls: type[Options], values: dict[str, Any], where: str) -> None:
    try:
        make_options(cls, values)
    except Exception as error:  # an OptionError, or whatever the class's own __post_init__ raises
        raise CheckFailed(f"{values} is not accepted: {error}".replace("\n", " "), where) from None


def _at(subject: Subject, where: list[Any] | None) -> str:
    return place_in_file(where[0], where[1]) if where else f"module {subject.plugin.module}"
