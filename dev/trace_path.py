"""Print the functions of nlpsuite that a command passes through, in the order of their first call.

    python dev/trace_path.py run sentiment --text "I love it."
    python dev/trace_path.py eval sentiment rows.csv --baseline majority

Each line has the number of calls, the depth of the first one among the functions shown, and the function.
Functions of this process only: the workers of a job are processes of their own.
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import nlpsuite

_CORE = Path(nlpsuite.__file__).parent
_ROOTS = (_CORE, _CORE.parent / "plugins")


class Trace:
    """Counts calls by function, and remembers the order and depth of the first ones."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.depths: dict[str, int] = {}
        self._depth = 0
        self._shown: dict[FrameType, bool] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            name = _name(frame)
            self._shown[frame] = bool(name)
            if name:
                self.calls[name] += 1
                self.depths.setdefault(name, self._depth)
                self._depth += 1
        elif event == "return" and self._shown.pop(frame, False):
            self._depth -= 1


def _name(frame: FrameType) -> str:
    code = frame.f_code
    # Modules and bodies of classes run once, at import; comprehensions and lambdas belong to their function.
    if code.co_name.startswith("<") or not code.co_flags & inspect.CO_OPTIMIZED:
        return ""
    path = Path(code.co_filename)
    for root in _ROOTS:
        if path.is_relative_to(root):
            module = path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
            return f"{module}:{code.co_qualname}"
    return ""


def main() -> None:
    from nlpsuite.cli import main as command

    trace = Trace()
    sys.setprofile(trace)
    try:
        command(sys.argv[1:])
    finally:
        sys.setprofile(None)
        for name, depth in trace.depths.items():
            print(f"{trace.calls[name]:5}  {'  ' * depth}{name}", file=sys.stderr)


if __name__ == "__main__":
    main()
