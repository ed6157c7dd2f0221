"""Exporting models: weights in a graph template make a bundle. Only ``graph`` needs torch."""

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """``nlpsuite.export(…)`` is the public function, although Python binds this package to the same name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from nlpsuite.export.export import export

        return export(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
