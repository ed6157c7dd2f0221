"""Progress on stderr: a bar on a terminal; elsewhere a line per stage, and one every half minute of a long one."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

__all__ = ["Progress"]


_EVERY_SECONDS = 30.0  # a line, where there is no bar


class Progress:
    """Shows what a ``nlpsuite.models.spec.Reporter`` receives."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._lines: _Lines | None = None

    def stage(self, text: str, total: int | None) -> None:
        """A stage starts; ``total`` in bytes, None if unknown."""
        self.close()
        if not sys.stderr.isatty():
            click.echo(f"{text}: {total / 1e6:,.0f} MB" if total else text, err=True)
            self._lines = _Lines(text, total) if total else None
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
        elif self._lines is not None:
            self._lines.advance(done)

    def close(self) -> None:
        self._lines = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class _Lines:
    """Now and then a line with the share that is done and a forecast."""

    def __init__(self, text: str, total: float) -> None:
        self._text, self._total = text, total
        self._begin = self._said = time.monotonic()

    def advance(self, done: float) -> None:
        now = time.monotonic()
        if now - self._said < _EVERY_SECONDS or not 0 < done < self._total:
            return
        self._said = now
        left = (now - self._begin) * (self._total - done) / done
        span = f"{left:.0f} seconds" if left < 90 else f"{left / 60:.0f} minutes"
        click.echo(f"{self._text}: {done / self._total:.0%}, about {span} left", err=True)
