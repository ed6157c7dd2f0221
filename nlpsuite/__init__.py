"""nlpsuite: NLP applications as plugins on one language model.

import nlpsuite
print(nlpsuite.load("summarize")(text))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlpsuite.api import load as load
    from nlpsuite.data.record import Record as Record
    from nlpsuite.options import GenerationOptions as GenerationOptions
    from nlpsuite.options import Options as Options
    from nlpsuite.options import option as option
    from nlpsuite.plugins.hookspecs import hookimpl as hookimpl
    from nlpsuite.runtime.prompt import Completion as Completion
    from nlpsuite.runtime.prompt import Message as Message
    from nlpsuite.runtime.prompt import Prompt as Prompt
    from nlpsuite.runtime.prompt import Sampling as Sampling
    from nlpsuite.tasks.base import Task as Task
    from nlpsuite.tasks.result import Output as Output

__version__ = "0.1.0"

# Public name to the module that has it, imported at first use: `nlpsuite --help` must not
# wait for numpy.
_LAZY = {
    "load": "nlpsuite.api",
    "hookimpl": "nlpsuite.plugins.hookspecs",
    "Completion": "nlpsuite.runtime.prompt",
    "Message": "nlpsuite.runtime.prompt",
    "Prompt": "nlpsuite.runtime.prompt",
    "Sampling": "nlpsuite.runtime.prompt",
    "Output": "nlpsuite.tasks.result",
    "Record": "nlpsuite.data.record",
    "Task": "nlpsuite.tasks.base",
    "GenerationOptions": "nlpsuite.options",
    "Options": "nlpsuite.options",
    "option": "nlpsuite.options",
}

__all__ = ["__version__", *_LAZY]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
