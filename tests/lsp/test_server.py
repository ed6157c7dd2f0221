"""The language server, driven by a real client over standard input and output."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

types = pytest.importorskip("lsprotocol.types", reason="needs the extra lsp")
from pygls.exceptions import JsonRpcException  # noqa: E402
from pygls.lsp.client import LanguageClient  # noqa: E402

URI = "file:///work/program.py"
CODE = "def area(width, height):\n    return \n"


class Editor(LanguageClient):
    """A client with one document."""

    def __init__(self) -> None:
        super().__init__("editor", "1")
        self.shown: list[str] = []
        self.logged: list[str] = []
        self.feature(types.WINDOW_SHOW_MESSAGE)(lambda params: self.shown.append(params.message))
        self.feature(types.WINDOW_LOG_MESSAGE)(lambda params: self.logged.append(params.message))

    async def open(self, text: str = CODE, options: Any = None) -> types.InitializeResult:
        result = await self.initialize_async(
            types.InitializeParams(
                capabilities=types.ClientCapabilities(), initialization_options=options, process_id=None
            )
        )
        self.initialized(types.InitializedParams())
        self.text_document_did_open(
            types.DidOpenTextDocumentParams(types.TextDocumentItem(URI, "python", 1, text))
        )
        return result

    def complete(self, line: int, character: int) -> Any:
        return self.text_document_completion_async(
            types.CompletionParams(types.TextDocumentIdentifier(URI), types.Position(line, character))
        )


def drive(arguments: list[str], scene: Callable[[Editor], Coroutine[Any, Any, None]]) -> Editor:
    """Play a scene with a server, and end it as an editor does."""

    async def play() -> Editor:
        editor = Editor()
        await editor.start_io(sys.executable, "-m", "nlpsuite", "lsp", *arguments)
        try:
            await asyncio.wait_for(scene(editor), 60)
            await editor.shutdown_async(None)
            editor.exit(None)
            await asyncio.wait_for(editor._server.wait(), 20)
            assert editor._server.returncode == 0
        finally:
            if editor._server.returncode is None:  # a failed scene
                editor._server.kill()
            await editor.stop()
        return editor

    return asyncio.run(play())


def model(bundle: Path) -> list[str]:
    return ["--model", str(bundle), "--threads", "1", "--max-tokens", "6", "--debounce", "1"]


def test_an_editor_gets_completions(tiny_bundle: Path) -> None:
    async def scene(editor: Editor) -> None:
        result = await editor.open()
        assert result.capabilities.completion_provider and result.capabilities.inline_completion_provider
        found = await editor.complete(1, 11)
        assert found.is_incomplete
        [item] = found.items
        assert item.text_edit.range == types.Range(types.Position(1, 11), types.Position(1, 11))
        assert item.text_edit.new_text.strip() and item.label
        inline = await editor.text_document_inline_completion_async(
            types.InlineCompletionParams(
                types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
                types.TextDocumentIdentifier(URI),
                types.Position(1, 11),
            )
        )
        assert [one.insert_text for one in inline.items] == [item.text_edit.new_text]

    assert drive(model(tiny_bundle), scene).shown == []


@pytest.mark.slow
def test_the_word_before_the_cursor_is_replaced(tiny_bundle: Path) -> None:
    async def scene(editor: Editor) -> None:
        await editor.open('x = "😀"; y = wid\n')
        [item] = (await editor.complete(0, 17)).items  # the emoji counts as two
        assert item.text_edit.range.start == types.Position(0, 14)
        assert item.text_edit.new_text.startswith("wid") and item.filter_text.startswith("wid")

    drive(model(tiny_bundle), scene)


def test_a_newer_request_stops_the_older(tiny_bundle: Path) -> None:
    async def scene(editor: Editor) -> None:
        await editor.open()
        older = [asyncio.ensure_future(editor.complete(1, 11)) for _ in range(5)]
        await asyncio.sleep(0)  # they are sent
        newest = await editor.complete(1, 11)
        assert newest.items
        assert not any(found.items for found in await asyncio.gather(*older))

    drive([*model(tiny_bundle), "--debounce", "50"], scene)


@pytest.mark.slow
def test_the_editor_cancels(tiny_bundle: Path) -> None:
    async def scene(editor: Editor) -> None:
        await editor.open()
        asked = editor.protocol.send_request_async(
            types.TEXT_DOCUMENT_COMPLETION,
            types.CompletionParams(types.TextDocumentIdentifier(URI), types.Position(1, 11)),
            msg_id="mine",
        )
        task = asyncio.ensure_future(asked)
        await asyncio.sleep(0.2)
        editor.cancel_request(types.CancelParams("mine"))
        with pytest.raises(JsonRpcException, match="cancel"):
            await task
        assert (await editor.complete(1, 11)).items

    drive([*model(tiny_bundle), "--debounce", "1000"], scene)


def test_a_missing_model_is_shown_once(tmp_path: Path) -> None:
    async def scene(editor: Editor) -> None:
        await editor.open(options={"model": str(tmp_path / "nothing"), "maxTokens": 8})
        for _ in range(2):
            assert not (await editor.complete(1, 11)).items

    [shown] = drive([], scene).shown
    assert "nothing" in shown


@pytest.mark.slow
def test_a_wrong_setting_is_shown_and_the_server_goes_on(tiny_bundle: Path) -> None:
    async def scene(editor: Editor) -> None:
        await editor.open(options={"maxTokns": 8})
        assert (await editor.complete(1, 11)).items

    [shown] = drive(model(tiny_bundle), scene).shown
    assert "max_tokns" in shown and "max_tokens" in shown
