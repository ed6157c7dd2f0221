"""Exporting models: weights in a graph template make a bundle. Only ``graph`` needs torch."""

import sys
from types import ModuleType
from typing import Any

from nlpsuite.lazy import import_name


class _CallablePackage(ModuleType):
    """``nlpsuite.export(…)`` is the public function, although Python binds this package to the same name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        import nlpsuite

        # The function is above this room, which therefore doesn't import it by name.
        return import_name("nlpsuite", nlpsuite._LAZY, "export")(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
