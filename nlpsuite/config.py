"""The user's configuration file: what holds where no flag says otherwise.

[run]
device = "cpu"

[tasks.summarize]
length = "short"

It belongs to the command line; ``nlpsuite.load`` does not read it, so that a program does the same
on every machine.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nlpsuite.errors import OptionError
from nlpsuite.options import Options, make_options, option, option_specs
from nlpsuite.paths import config_path
from nlpsuite.plugins import installed_tasks
from nlpsuite.tasks.schema import DIALECT, option_schema

__all__ = ["Configuration", "RunOptions", "configuration_schema", "read_configuration", "to_toml"]

MAX_THREADS = 256


@dataclass(frozen=True)
class RunOptions(Options):
    """What ``[run]`` may say, and what holds if nobody says anything."""

    model: str | None = option(None, "bundle, .gguf, checkpoint directory or hf:owner/name")
    precision: Literal["int8", "int4", "fp16", "fp32"] | None = option(None, "of the weights")
    device: Literal["auto", "cuda", "cpu"] = option("auto", "where the model runs")
    threads: int = option(0, "CPU threads; 0 uses every core")


@dataclass(frozen=True)
class Configuration:
    """A configuration that was read. Make one with ``read_configuration``.

    Attributes:
        path: of its file, whether there is one or not.
        exists: there is one.
        run: what ``[run]`` says, checked.
        tasks: what each ``[tasks.NAME]`` says; its values are checked by ``task_options``, which
            knows the task.
    """

    path: Path
    exists: bool
    run: Mapping[str, Any] = field(default_factory=dict)
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def task_options(self, task: str, options: type[Options]) -> dict[str, Any]:
        """The options that the file sets for a task.

        Raises:
            OptionError: the task has no such option, or a value that the option can't take.
        """
        return _checked(self.path, f"tasks.{task}", options, self.tasks.get(task, {}))


def read_configuration() -> Configuration:
    """The user's configuration; an empty one if there is no file.

    A section of a task that isn't installed is passed over, since a plugin may be away for a while,
    unless it looks like a mistyped name.

    Raises:
        OptionError: the file can't be read, is not valid TOML, or has a key or value that can't be;
            names file and key.
    """
    path = config_path()
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        if os.environ.get("NLPSUITE_CONFIG"):
            raise OptionError(
                f"There is no configuration file {path}.",
                hint="NLPSUITE_CONFIG names it; correct or unset it.",
            ) from None
        return Configuration(path, exists=False)
    except OSError as error:
        raise OptionError(
            f"Can't read the configuration {path}: {error.strerror or error}.", hint="Check its permissions."
        ) from None
    except (ValueError, RecursionError) as error:  # broken TOML and broken UTF-8 are both ValueErrors
        raise OptionError(
            f"The configuration {path} is not valid TOML: {error}.",
            hint='It looks like this: [tasks.summarize], and on the next line length = "short".',
        ) from None
    for name in values:
        if name not in ("run", "tasks"):
            raise _unknown(path, name, ("run", "tasks"), "Sections: [run], [tasks.NAME].")
    run = _checked(path, "run", RunOptions, _table(path, "run", values.get("run", {})))
    if not 0 <= run.get("threads", 0) <= MAX_THREADS:
        raise OptionError(f"{path}: run.threads is {run['threads']}, must be between 0 and {MAX_THREADS}.")
    tasks = _table(path, "tasks", values.get("tasks", {}))
    installed = installed_tasks() if tasks else {}
    for name, section in tasks.items():
        _table(path, f"tasks.{name}", section)
        if name not in installed and difflib.get_close_matches(name, installed, n=1, cutoff=0.75):
            raise _unknown(path, f"tasks.{name}", [f"tasks.{task}" for task in installed], "")
    return Configuration(path, True, run, tasks)


def _table(path: Path, key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise OptionError(f"{path}: {key} must be a section.", hint=f"Write [{key}] on a line of its own.")
    return value


def _checked(path: Path, section: str, options: type[Options], values: Mapping[str, Any]) -> dict[str, Any]:
    fields = [spec.name for spec in option_specs(options)]
    checked = {}
    for key, value in values.items():
        # `from_` has its underscore only because Python needs it.
        name = f"{key}_" if key not in fields and f"{key}_" in fields else key
        try:
            checked[name] = getattr(make_options(options, {name: value}), name)
        except OptionError as error:
            hint = error.hint or "Correct the file; `nlpsuite config show` says what holds."
            raise OptionError(f"{path}, [{section}]: {error.message}", hint=hint) from None
    return checked


def _unknown(path: Path, key: str, known: Iterable[str], otherwise: str) -> OptionError:
    close = difflib.get_close_matches(key, list(known), n=1)
    return OptionError(
        f"{path} has an unknown section [{key}].", hint=f"Did you mean [{close[0]}]?" if close else otherwise
    )


def configuration_schema(tasks: Mapping[str, type[Options]]) -> dict[str, Any]:
    """The JSON schema of a configuration, for editors.

    Args:
        tasks: the options of each task.
    """

    def section(options: type[Options]) -> dict[str, Any]:
        schema = option_schema(options)
        del schema["$schema"], schema["title"]
        # `from_` has its underscore only because Python needs it.
        schema["properties"] = {name.rstrip("_"): entry for name, entry in schema["properties"].items()}
        return schema

    run = section(RunOptions)
    run["properties"]["threads"] |= {"minimum": 0, "maximum": MAX_THREADS}
    by_task = {name: section(options) for name, options in tasks.items()}
    return {
        "$schema": DIALECT,
        "title": "nlpsuite configuration",
        "type": "object",
        "properties": {"run": run, "tasks": {"type": "object", "properties": by_task}},
        "additionalProperties": False,
    }


def to_toml(value: Any) -> str:
    """A string, number or truth value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        import json

        # A JSON string is one of TOML's, but for one character that JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
