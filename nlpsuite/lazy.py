"""Public names of a package whose modules are imported at first use."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

__all__ = ["CallablePackage", "import_name"]


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


class CallablePackage(ModuleType):
    """A package whose name is also that of a public function: ``nlpsuite.export(…)`` calls the function, although
    Python binds the package to the name. Such a package says ``sys.modules[__name__].__class__ = CallablePackage``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        import nlpsuite

        # The function may be above the package's room, which therefore doesn't import it by name.
        name = self.__name__.rpartition(".")[2]
        return import_name("nlpsuite", nlpsuite._LAZY, name)(*args, **kwargs)
