"""Where lines end when text and notices come by turns."""

from __future__ import annotations

from nlpsuite.cli.pieces import Pieces


def shown(*events: str) -> list[str]:
    seen: list[str] = []
    pieces = Pieces(seen.append, lambda text: seen.append(f"[{text}]"))
    for event in events:
        if event.startswith("!"):
            pieces.notice(event[1:])
        else:
            pieces.text(event)
    pieces.end()
    return seen


def test_text_alone() -> None:
    assert shown("a", "b") == ["a", "b", "\n"]
    assert shown() == ["\n"]


def test_a_notice_before_the_text_takes_no_line_of_it() -> None:
    assert shown("!long", "a") == ["[long]", "a", "\n"]


def test_a_notice_after_the_text_ends_its_line_once() -> None:
    assert shown("a", "!flagged", "!late") == ["a", "\n", "[flagged]", "[late]"]
    assert shown("a", "!part", "b") == ["a", "\n", "[part]", "b", "\n"]
