"""The user's configuration file: settings that apply unless a flag overrides them.

[run]
device = "cpu"

[tasks.summarize]
length = "short"

Only the command line reads it. ``nlpsuite.load`` doesn't, so a program does the same on every machine.
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
from nlpsuite.options import Options, find_option, make_options, option
from nlpsuite.paths import config_path
from nlpsuite.plugins import installed_tasks
from nlpsuite.tasks.schema import DIALECT, option_schema

__all__ = ["Configuration", "RunOptions", "configuration_schema", "read_configuration", "to_toml"]

MAX_THREADS = 256


@dataclass(frozen=True)
class RunOptions(Options):
    """The settings of ``[run]`` with their defaults."""

    model: str | None = option(None, "Bundle, .gguf file, checkpoint directory or hf:owner/name.")
    precision: Literal["int8", "int4", "fp16", "fp32"] | None = option(None, "Precision of the weights.")
    device: Literal["auto", "cuda", "cpu"] = option("auto", "Where the model runs.")
    threads: int = option(0, "CPU threads; 0 uses every core.")


@dataclass(frozen=True)
class Configuration:
    """The contents of a configuration file. Get one from ``read_configuration``.

    Attributes:
        path: of the file, which need not exist.
        exists: whether it does.
        run: the checked values of ``[run]``.
        tasks: the values of each ``[tasks.NAME]``; ``task_options``, which knows the task, checks them.
    """

    path: Path
    exists: bool
    run: Mapping[str, Any] = field(default_factory=dict)
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def task_options(self, task: str, options: type[Options]) -> dict[str, Any]:
        """The options set for a task.

        Raises:
            OptionError: the task has no such option, or the value is invalid.
        """
        return _checked(self.path, f"tasks.{task}", options, self.tasks.get(task, {}))


def read_configuration() -> Configuration:
    """The user's configuration; empty if there is no file.

    The section of a task that isn't installed is ignored, since plugins come and go, unless its name looks
    like a typo.

    Raises:
        OptionError: the file can't be read, isn't valid TOML, or has an invalid key or value; names file
            and key.
    """
    path = config_path()
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        if os.environ.get("NLPSUITE_CONFIG"):
            raise OptionError(
                f"There is no configuration file {path}.",
                hint="NLPSUITE_CONFIG names it: correct or unset that variable.",
            ) from None
        return Configuration(path, exists=False)
    except OSError as error:
        raise OptionError(
            f"Can't read the configuration {path}: {error.strerror or error}.", hint="Check its permissions."
        ) from None
    except (ValueError, RecursionError) as error:  # broken TOML and broken UTF-8 are both ValueErrors
        raise OptionError(
            f"The configuration {path} is not valid TOML: {error}.",
            hint='Example: [tasks.summarize], and on the next line length = "short".',
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
    checked = {}
    for key, value in values.items():
        try:
            name = find_option(options, key).name
            checked[name] = getattr(make_options(options, {name: value}), name)
        except OptionError as error:
            hint = error.hint or "Correct the file. `nlpsuite config schema` lists what it can contain."
            raise OptionError(f"{path}, [{section}]: {error.message}", hint=hint) from None
    return checked


def _unknown(path: Path, key: str, known: Iterable[str], otherwise: str) -> OptionError:
    close = difflib.get_close_matches(key, list(known), n=1)
    return OptionError(
        f"{path} has an unknown section [{key}].", hint=f"Did you mean [{close[0]}]?" if close else otherwise
    )


def configuration_schema(tasks: Mapping[str, type[Options]]) -> dict[str, Any]:
    """The JSON schema of a configuration file, for editors.

    Args:
        tasks: the options of each task.
    """

    def section(options: type[Options]) -> dict[str, Any]:
        schema = option_schema(options)
        del schema["$schema"], schema["title"]
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
    """A string, number or boolean in TOML's notation."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        import json

        # A JSON string is a TOML string, except that TOML wants DEL escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
