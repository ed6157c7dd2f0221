"""The Python interface: ``nlpsuite.load("summarize")(text)``."""

from __future__ import annotations

from nlpsuite.tasks.load import load

__all__ = ["load"]
