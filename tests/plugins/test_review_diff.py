"""Unified diffs: line numbers are those of the new file, whatever the text."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlpsuite_review.diff import ChangedFile, looks_like_diff, parse_diff, plain_diff
from nlpsuite_review.reading import read

from nlpsuite.errors import InputInvalidError

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


def colored(diff: str) -> str:
    """As ``git diff --color=always`` writes it."""
    codes = {"+": 32, "-": 31, "@": 36, "d": 1}
    lines = []
    for line in diff.split("\n"):
        code = codes.get(line[:1])
        lines.append(f"\x1b[{code}m{line[:1]}\x1b[m\x1b[{code}m{line[1:]}\x1b[m" if code else f"{line}\x1b[m")
    return "\n".join(lines)


@given(old=LINES, new=LINES, context=st.integers(0, 4))
def test_colors_make_no_difference(old: list[str], new: list[str], context: int) -> None:
    old, new = ([line.replace("\x1b", "") for line in lines] for lines in (old, new))
    diff = unified(old, new, context)
    plain = plain_diff(colored(diff))
    assert plain == diff
    assert parse_diff(plain) == parse_diff(diff)


def test_color_codes_in_the_code_itself_stay() -> None:
    text = "--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+\x1b[31mred\x1b[m\n"
    assert plain_diff(text) == text


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
    "begin",
    [
        "diff --git a/x b/x\n",
        "commit 0123456789\n\n    Words\n\n",  # git show, git log -p
        "0123456 (HEAD -> main) Words\n",  # git log -p --oneline
        "tag v1\nTagger: A <a@b.c>\n\nWords\n\ncommit 0123456\n",  # git show v1
        "From 0123456 Mon\nFrom: A <a@b.c>\nSubject: [PATCH] Words\n\n---\n x | 2 +-\n\n",  # git format-patch
        "From: A <a@b.c>\nDate: today\nSubject: [PATCH] Words\n which\n\n",  # saved from a mail program
        "# HG changeset patch\n# User a\n",
        "Index: x\n===================\n",  # svn
        "\n\n",
        "",
    ],
)
def test_what_looks_like_a_diff(begin: str) -> None:
    assert looks_like_diff(begin + "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "--- a\n+++ b\n",
        "# About diffs\n\n@@ -1 +1 @@\n",
        "def f(): pass",
        "* a list\n* of things\n",
        "*** stars ***\n--- and dashes\n",
        "1 thing\n< another\n",
        " a | 3 b\n",
        "Dear A,\nSubject: what\n",
    ],
)
def test_what_does_not(text: str) -> None:
    assert not looks_like_diff(text)


def test_a_header_with_absurd_numbers_is_no_header() -> None:
    assert parse_diff(f"--- a\n+++ b\n@@ -1 +{'9' * 5000} @@\n+a\n") == []


COMBINED = """\
diff --cc x.py
index ebea739,e4bdcc6..0000000
--- a/x.py
+++ b/x.py
@@@ -1,4 -1,4 +1,5 @@@
  a
- gone from the first
 -gone from the second
++new in the merge
 +from the first
+ from the second
  b
"""


def test_a_combined_diff() -> None:
    file = only(COMBINED)
    assert looks_like_diff(COMBINED) and file.path == "x.py"
    assert [(line.number, line.text, line.added) for line in file.hunks[0].lines] == [
        (1, "a", False),
        (2, "new in the merge", True),
        (3, "from the first", False),  # one parent has it, so the merge didn't write it
        (4, "from the second", False),
        (5, "b", False),
    ]
    assert file.hunks[0].removed == 2


def test_a_combined_diff_of_three_parents_and_of_a_conflict() -> None:
    three = "diff --combined x\n--- a/x\n+++ b/x\n@@@@ -1,2 -1,1 -1,1 +1,2 @@@@\n   a\n-  b\n+++c\n"
    assert [(line.text, line.added) for line in only(three).hunks[0].lines] == [("a", False), ("c", True)]
    conflict = "diff --cc x.c\n--- a/x.c\n+++ b/x.c\n@@@ -1,1 -1,1 +1,5 @@@\n++<<<<<<< HEAD\n +y\n++=======\n+ z\n++>>>>>>> b\n"
    assert [(f.line, f.rule) for f in read(conflict).findings] == [(n, "merge-marker") for n in (1, 3, 5)]


def test_changes_without_a_hunk_are_counted() -> None:
    text = (
        "diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n"
        "diff --git a/z b/z\nindex 1..2 100644\n--- a/z\n+++ b/z\n@@ -1 +1 @@\n-a\n+b\n"
        "diff --git a/p.png b/p.png\nBinary files a/p.png and b/p.png differ\n"
    )
    assert read(text).facts == "3 files changed, 1 line added, 1 removed"


PATCH = "---\n x.py | 2 +-\n\ndiff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-x = 1\n+x = [ä == None]\n-- \n2.39\n"


def test_a_patch_in_a_mail() -> None:
    reading = read(
        "From 0123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\nSubject: [PATCH] Compare\n"
        f"MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\n{PATCH}"
    )
    assert [(f.file, f.line, f.rule) for f in reading.findings] == [("x.py", 1, "E711")]
    assert reading.facts.startswith("1 file changed, 1 line added, 1 removed")
    assert reading.excerpt.startswith("[PATCH] Compare")


@pytest.mark.parametrize(
    "text, form",
    [
        (
            "*** a/x\t2024\n--- b/x\t2024\n***************\n*** 1,2 ****\n! a\n--- 1,2 ----\n! b\n",
            "a context diff",
        ),
        ("diff -c a/x b/x\n*** a/x\n--- b/x\n***************\n", "a context diff"),
        ("2c2\n< a\n---\n> b\n", "a diff without context"),
        ("diff -r a/x b/x\n2,3d1\n< a\n< b\n", "a diff without context"),
        ("Index: x\n=====\n0a1\n> a\n", "a diff without context"),
        ("* commit 0123456789\n| Author: A\n| \n| diff --git a/x b/x\n| --- a/x\n", "a log with a graph"),
        (" x.py | 2 +-\n y.py | 1 +\n 2 files changed, 2 insertions(+)\n", "a summary of a diff"),
        (
            "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\nx = [-1-]{+2+}\ny = 3\n",
            "no added or removed lines",
        ),
    ],
)
def test_other_forms_are_refused_with_a_hint(text: str, form: str) -> None:
    for variant in (text, colored(text), text.replace("\n", "\r\n")):
        with pytest.raises(InputInvalidError, match=form) as error:
            read(variant)
        assert "git diff" in error.value.hint


@pytest.mark.parametrize(
    "text", ["* " * 20_000, "* 0123456\n" + "* a\n" * 20_000, " a |" * 20_000, "Ab: \n" * 20_000]
)
def test_forms_are_recognized_in_linear_time(text: str) -> None:
    assert not looks_like_diff(text)
