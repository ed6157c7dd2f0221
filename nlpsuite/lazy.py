"""Public names of a package whose modules are imported at first use."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

__all__ = ["import_name"]


def import_name(package: str, modules: Mapping[str, str], name: str) -> Any:
    """What ``package.name`` is: the body of a package's ``__getattr__`` (PEP 562).

    Args:
        modules: public name to the module that has it.

    Raises:
        AttributeError: there is no such name.
    """
    if name not in modules:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return getattr(importlib.import_module(modules[name]), name)
