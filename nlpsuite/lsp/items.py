"""Suggestions as the items of the Language Server Protocol."""

from __future__ import annotations

import re

from lsprotocol import types
from pygls.workspace import TextDocument

from nlpsuite.lsp.completer import Cursor

__all__ = ["completion_list", "cursor_at", "inline_list"]

_WORD = re.compile(r"\w*\Z")
_LABEL_CHARACTERS = 60


def cursor_at(document: TextDocument, position: types.Position) -> Cursor:
    """The text around a position."""
    source, offset = document.source, document.offset_at_position(position)
    return Cursor(*(part.replace("\r\n", "\n") for part in (source[:offset], source[offset:])))


def completion_list(
    document: TextDocument, position: types.Position, cursor: Cursor, text: str
) -> types.CompletionList:
    """The answer to ``textDocument/completion``: one item, or none if the text is empty.

    Editors filter items by the word before the cursor, so the item replaces that word too.
    """
    items = []
    if text:
        word = _WORD.findall(cursor.prefix)[0]
        start = types.Position(
            position.line, position.character - document.position_codec.client_num_units(word)
        )
        whole = word + _in_form_of(document, text)
        items.append(
            types.CompletionItem(
                label=_label(word + text),
                kind=types.CompletionItemKind.Text,
                detail="nlpsuite",
                documentation=types.MarkupContent(
                    types.MarkupKind.Markdown, f"```{document.language_id or ''}\n{word}{text}\n```"
                ),
                filter_text=(word + text).strip(),
                sort_text="0",
                insert_text_format=types.InsertTextFormat.PlainText,
                insert_text_mode=types.InsertTextMode.AsIs,
                text_edit=types.TextEdit(types.Range(start, position), whole),
            )
        )
    # With another letter the suggestion is another.
    return types.CompletionList(is_incomplete=True, items=items)


def inline_list(document: TextDocument, position: types.Position, text: str) -> types.InlineCompletionList:
    """The answer to ``textDocument/inlineCompletion``: one item, or none if the text is empty."""
    item = types.InlineCompletionItem(_in_form_of(document, text), range=types.Range(position, position))
    return types.InlineCompletionList([item] if text else [])


def _in_form_of(document: TextDocument, text: str) -> str:
    """A text with the line ends of a document."""
    return text.replace("\n", "\r\n") if "\r\n" in document.source else text


def _label(text: str) -> str:
    """The first line with text, shortened; a list of suggestions shows no more."""
    first, *others = text.strip().split("\n")
    short = first if len(first) <= _LABEL_CHARACTERS else first[:_LABEL_CHARACTERS] + "…"
    return f"{short} …" if others and short == first else short
