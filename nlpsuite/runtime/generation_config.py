"""What the makers of a model suggest for drawing tokens: ``generation_config.json`` of its bundle."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from nlpsuite.errors import OptionError
from nlpsuite.runtime.prompt import Sampling

__all__ = ["read_sampling"]


def read_sampling(directory: Path) -> Sampling | None:
    """The settings of the bundle in ``directory``; None without any, or with such as make no sense."""
    try:
        values = json.loads((directory / "generation_config.json").read_text(encoding="utf-8"))
        names = {field.name for field in dataclasses.fields(Sampling)}
        given = {name: value for name, value in values.items() if name in names}
        return Sampling(**given) if given else None
    except (OSError, ValueError, AttributeError, TypeError, OptionError):
        return None
