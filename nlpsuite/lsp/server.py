"""The language server: requests of an editor in, suggestions out; the newest request stops those before it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import BinaryIO

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from nlpsuite import __version__
from nlpsuite.errors import NlpsuiteError, OptionError
from nlpsuite.lsp.completer import Completer, Cursor
from nlpsuite.lsp.items import completion_list, cursor_at, inline_list
from nlpsuite.lsp.settings import LspSettings, with_editor_settings
from nlpsuite.lsp.worker import Worker

__all__ = ["CompletionServer", "serve"]

_TRIGGERS = (".", "(", "[", "{", ",", "=", ":", " ", "\n")


class CompletionServer(LanguageServer):
    """A server for one editor.

    The model is loaded in the background when the first document is opened. One thread runs it; answers that
    nobody waits for any longer are stopped at the next token.

    Args:
        settings: those of the command line, which the editor's replace.
    """

    def __init__(self, settings: LspSettings) -> None:
        super().__init__(
            "nlpsuite", __version__, text_document_sync_kind=types.TextDocumentSyncKind.Incremental
        )
        self._settings = settings
        self._worker = Worker()
        self._completer: Completer | None = None
        self._newest = threading.Event()
        self._reported: set[str] = set()
        _register(self)

    def set_up(self, params: types.InitializeParams) -> None:
        """Take the editor's settings; of wrong ones none."""
        try:
            self._settings = with_editor_settings(self._settings, params.initialization_options)
        except OptionError as error:
            self._report(error)

    async def load(self) -> None:
        """Load the model, unless it is loaded."""
        completer = self._ready()
        try:
            await asyncio.wrap_future(self._worker.submit(completer.load))
        except NlpsuiteError as error:
            self._report(error)

    def stop(self) -> None:
        """Stop what is being written."""
        self._newest.set()

    async def suggest(self, cursor: Cursor) -> str:
        """The text to insert at a cursor; empty if there is none, or a newer request has come."""
        self._newest.set()
        stopped = self._newest = threading.Event()
        completer = self._ready()
        try:
            await asyncio.sleep(self._settings.debounce / 1_000)
            if stopped.is_set():
                return ""
            suggested = self._worker.submit(lambda: _suggest(completer, cursor, stopped))
            return await asyncio.wrap_future(suggested)
        except asyncio.CancelledError:  # by the editor
            stopped.set()
            raise
        except NlpsuiteError as error:
            self._report(error)
            return ""

    def _ready(self) -> Completer:
        if self._completer is None:
            loop = asyncio.get_running_loop()
            progress = _Progress(self._log, loop)
            self._completer = Completer(self._settings, progress, progress.notify)
        return self._completer

    def _log(self, text: str) -> None:
        self.window_log_message(types.LogMessageParams(types.MessageType.Info, text))

    def _report(self, error: NlpsuiteError) -> None:
        """Show an error to the user, once: each key would bring it again."""
        text = f"nlpsuite: {error.message} {error.hint}".strip()
        if text not in self._reported:
            self._reported.add(text)
            self.window_show_message(types.ShowMessageParams(types.MessageType.Error, text))


def _register(server: CompletionServer) -> None:
    """Connect the server's methods to those of the protocol. pygls takes functions only."""

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        server.set_up(params)

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def did_open(params: types.DidOpenTextDocumentParams) -> None:
        await server.load()

    options = types.CompletionOptions(trigger_characters=list(_TRIGGERS))

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, options)
    async def complete(params: types.CompletionParams) -> types.CompletionList:
        document = server.workspace.get_text_document(params.text_document.uri)
        cursor = cursor_at(document, params.position)
        return completion_list(document, params.position, cursor, await server.suggest(cursor))

    # Without options pygls doesn't announce it.
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def complete_inline(params: types.InlineCompletionParams) -> types.InlineCompletionList:
        document = server.workspace.get_text_document(params.text_document.uri)
        cursor = cursor_at(document, params.position)
        return inline_list(document, params.position, await server.suggest(cursor))

    @server.feature(types.SHUTDOWN)
    def shut_down(params: None) -> None:
        server.stop()


def _suggest(completer: Completer, cursor: Cursor, stopped: threading.Event) -> str:
    """A suggestion; nothing if it is stopped before it is finished."""
    try:
        return "" if stopped.is_set() else completer.suggest(cursor, stopped.is_set)
    except CancelledError:
        return ""


class _Progress:
    """Logs the stages of a download or a build, from the worker's thread; a ``Reporter``."""

    def __init__(self, log: Callable[[str], None], loop: asyncio.AbstractEventLoop) -> None:
        self._log, self._loop = log, loop

    def notify(self, text: str) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._log, text)

    def stage(self, text: str, total: int | None) -> None:
        self.notify(text)

    def advance(self, done: int) -> None:
        pass

    def close(self) -> None:
        pass


def serve(settings: LspSettings, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None) -> None:
    """Serve one editor on standard input and output until it says exit.

    What any library prints meanwhile goes to standard error.
    """
    reader, writer = stdin or sys.stdin.buffer, stdout or sys.stdout.buffer
    sys.stdout = sys.stderr
    CompletionServer(settings).start_io(reader, writer)
