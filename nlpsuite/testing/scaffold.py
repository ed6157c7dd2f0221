"""A new plugin's package, ready to be installed: ``nlpsuite plugins new``."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from nlpsuite import __version__
from nlpsuite.errors import OptionError, StorageError
from nlpsuite.files import atomic_directory
from nlpsuite.plugins import ENTRY_POINT_GROUP, installed_tasks
from nlpsuite.testing.checks_package import TASK_NAME

__all__ = ["write_plugin"]

_LONGEST = 40  # characters
_PREFIX = "nlpsuite-"
_FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "{{module}}.py": "module.py.txt",
    "tests/test_{{module}}.py": "test_module.py.txt",
}


def write_plugin(name: str, parent: Path) -> Path:
    """Write the package of a task called ``name`` into ``parent``/nlpsuite-``name``.

    Returns:
        The new directory. It is written whole or not at all.

    Raises:
        OptionError: the name is invalid or taken.
        StorageError: the directory exists, or can't be written.
    """
    _check_name(name)
    distribution = f"{_PREFIX}{name}"
    target = parent / distribution
    if target.exists() or target.is_symlink():
        raise StorageError(
            f"{target} exists already.", hint="Choose another name, or another place with --output."
        )
    values = {
        "name": name,
        "distribution": distribution,
        "module": distribution.replace("-", "_"),
        "class": "".join(part.capitalize() for part in name.split("-")),
        "group": ENTRY_POINT_GROUP,
        "nlpsuite_version": __version__,
    }
    templates = resources.files("nlpsuite.testing") / "template"
    with atomic_directory(target) as building:
        for place, template in _FILES.items():
            file = building / _filled(place, values)
            file.parent.mkdir(exist_ok=True)
            text = (templates / template).read_text(encoding="utf-8")
            file.write_text(_filled(text, values), encoding="utf-8", newline="\n")
    return target


def _check_name(name: str) -> None:
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-").lstrip("0123456789-")
    suggestion = plain.removeprefix(_PREFIX)[:_LONGEST].strip("-")
    if not TASK_NAME.fullmatch(name) or len(name) > _LONGEST or name.startswith(_PREFIX):
        raise OptionError(
            f"{name!r} can't be a task's name: use up to {_LONGEST} lower-case letters, digits and single "
            f"hyphens, starting with a letter and not with {_PREFIX!r}.",
            hint=f"For example: nlpsuite plugins new {suggestion or 'keywords'}",
        )
    if name in (tasks := installed_tasks()):
        raise OptionError(
            f"There is a task {name!r} already, from {tasks[name].distribution} {tasks[name].version}.",
            hint=f"For example: nlpsuite plugins new my-{name}",
        )


def _filled(text: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    return text
