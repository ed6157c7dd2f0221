"""Progress on stderr: a bar on a terminal, one line per stage elsewhere."""

from __future__ import annotations

import sys
from typing import Any

import click

__all__ = ["Progress"]


class Progress:
    """Shows what a ``nlpsuite.models.spec.Reporter`` receives."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None

    def stage(self, text: str, total: int | None) -> None:
        """A stage starts; ``total`` in bytes, None if unknown."""
        self.close()
        if not sys.stderr.isatty():
            click.echo(text, err=True)
            return
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
        self.start_bar(*columns, text=text, total=total)

    def start_bar(self, *columns: Any, text: str = "", total: float | None, done: float = 0) -> None:
        """Show a bar of columns of rich, until ``close``."""
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(text, total=total, completed=done)
        self._bar.start()

    def advance(self, done: float, text: str | None = None) -> None:
        """``done`` of the bar's total are complete; of a stage these are bytes."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=text)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
