"""Unified diffs: line numbers are those of the new file, whatever the text."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlpsuite_review.diff import ChangedFile, looks_like_diff, parse_diff

# Lines that a careless parser takes for headers or marks.
LINES = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=8),
        st.sampled_from(
            ["", " ", "-- a", "++ b", "@@ -1 +1 @@", "\\ No newline", "diff --git a b", "+", "-"]
        ),
    ),
    max_size=20,
)


def unified(
    old: list[str], new: list[str], context: int = 3, names: tuple[str, str] = ("a/x.py", "b/x.py")
) -> str:
    return "\n".join(difflib.unified_diff(old, new, *names, lineterm="", n=context))


@given(old=LINES, new=LINES, context=st.integers(0, 4))
def test_added_lines_have_the_numbers_of_the_new_file(old: list[str], new: list[str], context: int) -> None:
    files = parse_diff(unified(old, new, context))
    lines = [line for file in files for hunk in file.hunks for line in hunk.lines]
    assert all(new[line.number - 1] == line.text for line in lines)
    matcher = difflib.SequenceMatcher(None, old, new)
    expected = [
        number + 1
        for kind, _, _, first, last in matcher.get_opcodes()
        if kind in ("replace", "insert")
        for number in range(first, last)
    ]
    assert [line.number for line in lines if line.added] == expected
    gone = sum(b - a for kind, a, b, _, _ in matcher.get_opcodes() if kind in ("replace", "delete"))
    assert sum(hunk.removed for file in files for hunk in file.hunks) == gone
    assert all(file.path == "x.py" and not file.whole for file in files)


@given(changes=st.lists(st.tuples(LINES, LINES), min_size=1, max_size=4))
def test_several_files_keep_apart(changes: list[tuple[list[str], list[str]]]) -> None:
    diffs = {
        f"{number}.py": unified(old, new, names=(f"a/{number}.py", f"b/{number}.py"))
        for number, (old, new) in enumerate(changes)
    }
    text = "\n".join(f"diff --git a/{name} b/{name}\n{diff}" for name, diff in diffs.items() if diff)
    assert [file.path for file in parse_diff(text)] == [name for name, diff in diffs.items() if diff]


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    looks_like_diff(text)
    assert isinstance(parse_diff(text), list)


@given(
    st.lists(
        st.sampled_from(["--- a", "+++ b", "@@ -1,2 +1,2 @@", "@@ -9 +9,3 @@", "+x", "-y", " z", "", "\\"])
    )
)
def test_any_order_of_lines_is_taken(lines: list[str]) -> None:
    for file in parse_diff("\n".join(lines)):
        for hunk in file.hunks:
            numbers = [line.number for line in hunk.lines]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True


def only(text: str) -> ChangedFile:
    [file] = parse_diff(text)
    return file


def test_a_new_and_a_deleted_file() -> None:
    new = only("--- /dev/null\n+++ b/x.py\n@@ -0,0 +1,2 @@\n+a\n+b\n")
    assert new.whole and [line.number for line in new.hunks[0].lines] == [1, 2]
    deleted = only("--- a/x.py\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n")
    assert (deleted.path, deleted.hunks[0].lines, deleted.hunks[0].removed) == ("x.py", (), 2)


def test_windows_line_ends_and_stripped_context() -> None:
    file = only("--- a/x\r\n+++ b/x\r\n@@ -1,2 +1,3 @@\r\n a\r\n\r\n+b\r\n")
    assert [(line.number, line.text, line.added) for line in file.hunks[0].lines] == [
        (1, "a", False),
        (2, "", False),
        (3, "b", True),
    ]


def test_a_file_without_a_newline_at_its_end() -> None:
    file = only(
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file"
    )
    assert [line.text for line in file.hunks[0].lines] == ["b"]


@pytest.mark.parametrize(
    "header, path",
    [
        ("b/a b.py", "a b.py"),
        ("b/x.py\t2024-01-01 10:00:00", "x.py"),
        ('"b/\\303\\244.py"', "ä.py"),
        ('"b/\\x"', "\\x"),
        ("plain.py", "plain.py"),
        ("", None),
    ],
)
def test_names(header: str, path: str | None) -> None:
    assert only(f"--- a/old\n+++ {header}\n@@ -0,0 +1 @@\n+a\n").path == path


@pytest.mark.parametrize(
    "begin", ["diff --git a/x b/x\n", "commit 0123456789\n\n    Words\n\n", "From 0123456 Mon\n", ""]
)
def test_what_looks_like_a_diff(begin: str) -> None:
    assert looks_like_diff(begin + "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")


@pytest.mark.parametrize("text", ["", "--- a\n+++ b\n", "# About diffs\n\n@@ -1 +1 @@\n", "def f(): pass"])
def test_what_does_not(text: str) -> None:
    assert not looks_like_diff(text)


def test_a_header_with_absurd_numbers_is_no_header() -> None:
    assert parse_diff(f"--- a\n+++ b\n@@ -1 +{'9' * 5000} @@\n+a\n") == []
