"""What to suggest at a cursor: the task ``complete`` on the text around it, with a model that is loaded once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nlpsuite.lsp.settings import LspSettings
from nlpsuite.tasks.long_text import keep_end

if TYPE_CHECKING:
    from nlpsuite.models.spec import Reporter
    from nlpsuite.tasks.pipeline import Pipeline

__all__ = ["Completer", "Cursor"]

_ADAPTER = "python"  # of the default model
_CHARACTERS_PER_TOKEN = 16  # program text has fewer


@dataclass(frozen=True)
class Cursor:
    """A place in a text.

    Attributes:
        prefix, suffix: the text before and behind it, with line feeds at the ends of lines.
    """

    prefix: str
    suffix: str

    @property
    def on_empty_line(self) -> bool:
        return not (self.prefix.rpartition("\n")[2] + self.suffix.partition("\n")[0]).strip()


class Completer:
    """Suggests texts at cursors. Not thread-safe: one thread calls it.

    Args:
        reporter: receives progress while the model is downloaded and built.
        notify: called with what the user should know about the model.
    """

    def __init__(self, settings: LspSettings, reporter: Reporter, notify: Callable[[str], None]) -> None:
        self._settings, self._reporter, self._notify = settings, reporter, notify
        self._pipeline: Pipeline | None = None

    def load(self) -> Pipeline:
        """The task with its model, loaded by the first call.

        Raises:
            NlpsuiteError: the model can't be used.
        """
        if self._pipeline is None:
            from nlpsuite.tasks.load import load

            settings = self._settings
            self._pipeline = load(
                "complete",
                model=settings.model,
                adapter=settings.adapter or (_ADAPTER if settings.model is None else None),
                precision=settings.precision,
                device=settings.device,
                threads=settings.threads,
                reporter=self._reporter,
            )
            for notice in self._pipeline.notices:
                self._notify(notice)
        return self._pipeline

    def suggest(self, cursor: Cursor, cancelled: Callable[[], bool]) -> str:
        """The text to insert at a cursor; empty if there is none worth it.

        Raises:
            concurrent.futures.CancelledError: ``cancelled`` said yes.
            NlpsuiteError: the model can't be used.
        """
        pipeline, settings = self.load(), self._settings
        count = pipeline.model.count_tokens
        block = settings.unit == "block" or (settings.unit == "auto" and cursor.on_empty_line)
        prefix = keep_end(cursor.prefix, settings.prefix_tokens, count)
        pieces = pipeline.stream(
            prefix,
            cancelled=cancelled,
            suffix=_beginning(cursor.suffix, settings.suffix_tokens, count),
            block=block,
            line=not block,
            max_tokens=settings.max_tokens,
        )
        text = "".join(pieces)
        return text if text.strip() else ""


def _beginning(text: str, limit: int, count: Callable[[str], int]) -> str:
    """The lines at the beginning of a text that have at most ``limit`` tokens together."""
    kept = ""
    for line in text[: limit * _CHARACTERS_PER_TOKEN].splitlines(keepends=True):
        if count(kept + line) > limit:
            break
        kept += line
    return kept
