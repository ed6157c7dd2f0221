"""Where completions end, and what a gap's suffix does."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlpsuite_complete.ends import find_boundary
from nlpsuite_complete.python_lines import indentation, logical_lines

from nlpsuite import Record
from nlpsuite.errors import OptionError
from nlpsuite.options import make_options
from nlpsuite.plugins import load_task
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel

TASK = load_task("complete")
HEAD = 'def f(x):\n    """Do it."""\n'
SOURCES = sorted((Path(__file__).parents[2] / "nlpsuite" / "runtime").glob("*.py"))


def completed(prefix: str, written: str, suffix: str = "", **options: object) -> str:
    """What stays of a text that a model writes."""
    pipeline = Pipeline(TASK, EchoModel([written]), **{"suffix": suffix, "max_tokens": 500, **options})
    output = pipeline(prefix).text
    assert "".join(pipeline.stream(prefix)) == output
    return output


@pytest.mark.parametrize(
    "prefix, written, kept",
    [
        (HEAD, "    y = x\n    return y\n", "    y = x"),
        ("    y = ", "g(x)\n    return y", "g(x)"),
        # White space before the line comes with it.
        ("    return y\n", "\n\ndef g():\n    pass", "\n\ndef g():"),
        ("x = 1", "\ny = 2", ""),
        # A statement goes on as long as what was opened in it is open.
        (HEAD, "    y = g(x,\n          z)\n    return y", "    y = g(x,\n          z)"),
        (HEAD, '    y = """a\n\'(\n"""\n    return y', '    y = """a\n\'(\n"""'),
        (HEAD, "    y = x \\\n        + 1\n    return y", "    y = x \\\n        + 1"),
        # What was open before may stay so.
        ("y = [\n    1,\n", "    2,\n    3,\n]\n", "    2,"),
        ('"""Text:\n', "don't (stop\nhere", "don't (stop"),
        (HEAD, "    y = 'it\n    return", "    y = 'it"),
        (HEAD, "    # (\n    return", "    # ("),
        ("", "", ""),
    ],
)
def test_a_line(prefix: str, written: str, kept: str) -> None:
    assert completed(prefix, written, line=True) == kept


@pytest.mark.parametrize(
    "prefix, written, kept",
    [
        (HEAD, "    for a in x:\n        g(a)\n\n    return 1\n\n\ndef g():\n    pass\n", "    for a in x:\n        g(a)\n\n    return 1"),
        # Of a statement that was begun, that statement's block with its clauses.
        ("def f(x", "):\n    g(x)\n\n    h(x)\n\ny = 1\n", "):\n    g(x)\n\n    h(x)"),
        ("if a:\n    b\nif c", ":\n    d\nelif e:\n    f\nelsewhere = 1\n", ":\n    d\nelif e:\n    f"),
        ("    if a:\n", "        b\n    elif c:\n        d\n", "        b"),
        # At the left edge a statement with a block stands alone, others end with an empty line.
        ("import a\n", "import b\n\nx = 1\n", "import b"),
        ("import a\n", "\n@b\ndef c():\n    d\n\nx = 1\n", "\n@b\ndef c():\n    d"),
        ("", "class A:\n    b = 1\n\n    def c(self):\n        d\n\nx = 1", "class A:\n    b = 1\n\n    def c(self):\n        d"),
        # The bracket or string at the cursor is closed, and no more.
        ("x = [", "\n    1,\n    2]\ny = 3\n", "\n    1,\n    2]"),
        (HEAD[:-4], '"""\n    return x', '"""'),
        # Indentation stays right.
        (HEAD, "    a = 1\n        b = 2\n", "    a = 1"),
        (HEAD, "    a = 1\n  b = 2\n", "    a = 1"),
        (HEAD, "    a = 1)\n    b = 2\n", ""),
        ("    if a:\n        ", "b\n        c\n    d\n", "b\n        c"),
        ("if a:\n", "b = 1\n", ""),
        ("class A:\n\tdef f(self):\n", "\t\treturn 1\n\n\tdef g(self):\n", "\t\treturn 1"),
        # Comments don't end it; those behind it aren't part of it.
        (HEAD, "    a = 1\n    # then\n    b = 2\n# end\n", "    a = 1\n    # then\n    b = 2"),
        (HEAD, "    a = 1\n\n    # then\n\nb = 2\n", "    a = 1"),
    ],
)  # fmt: skip
def test_a_block(prefix: str, written: str, kept: str) -> None:
    assert completed(prefix, written, block=True) == kept


@pytest.mark.parametrize(
    "prefix, written, kept",
    [
        # A window of a file may begin in a docstring, or in brackets.
        ('of it.\n\n    Returns:\n        It (\n    """\n    a = 1\n', "    b = 2\nc = 3\n", "    b = 2"),
        ('of it."""\n    a = 1\n', "    b = 2\nc = 3\n", "    b = 2"),
        ("    1,\n    2)]\nif a:\n", "    b = g(\n        1)\nc = 3\n", "    b = g(\n        1)"),
        # These are strings that were begun.
        ('def f():\n    """\n', '    Text.\n    """\n    a\n', '    Text.\n    """'),
        ('"""\n', 'Text.\n"""\na\n', 'Text.\n"""'),
        ('a = """\n', 'Text.\n"""\nb\n', 'Text.\n"""'),
    ],
)
def test_a_block_after_the_end_of_a_text(prefix: str, written: str, kept: str) -> None:
    assert completed(prefix, written, block=True) == kept


def test_of_a_block_that_is_cut_off_whole_statements_stay() -> None:
    written = "    a = 1\n    for b in c:\n        d = g(1,\n    2"
    assert completed(HEAD, written, block=True, max_tokens=12) == "    a = 1"
    assert completed(HEAD, written, block=True, max_tokens=2) == "    a ="  # better than nothing
    assert completed(HEAD, "    return g(x)", block=True) == "    return g(x)"
    assert completed(HEAD, "    a = 1\n    if b:", block=True) == "    a = 1"


@pytest.mark.parametrize(
    "prefix, suffix, written, kept",
    [
        # The line behind the gap isn't repeated, in any unit.
        (HEAD, "\n    return y\n", "    y = x\n\n    return y\n    z", "    y = x"),
        (HEAD, "    return y\n", "    y = x\n    return y\n    z", "    y = x\n"),
        (HEAD, "\n    return y\n", "    return y\n", ""),
        (HEAD, "\n    return y\n", "    return yes\n    return y", "    return yes"),
        # In the middle of a line the gap is in that line.
        ("g(", "))\nx\n", "a, (b))\ny\n", "a, (b"),
        ("g(", "))\nx\n", "a, (b\ny\n", "a, (b"),
        ("", "\n", "x\ny", "x\ny"),
    ],
)
def test_what_follows_the_gap(prefix: str, suffix: str, written: str, kept: str) -> None:
    assert completed(prefix, written, suffix) == kept


def test_the_suffix_is_marked_by_sentinels_only_where_asked() -> None:
    def prompt(**options: object) -> object:
        return TASK.prompt(Record("a = "), make_options(TASK.options, options))

    plain, marked = prompt(suffix="\nb"), prompt(suffix="\nb" * 2_000, sentinels=True)
    assert (plain.text, plain.suffix) == ("a = ", "")
    assert marked.text == "a = " and 1_000 < len(marked.suffix) <= 1_500
    with pytest.raises(OptionError, match="both"):
        make_options(TASK.options, {"line": True, "block": True})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_rest_of_real_blocks(path: Path) -> None:
    """From any statement in a function on, the block is what is left of it."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    bodies = [node.body for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    generator = random.Random(0)
    for body in generator.sample(bodies, min(6, len(bodies))):
        first, last = generator.choice(body).lineno - 1, body[-1].end_lineno
        assert last is not None
        prefix, rest = "".join(lines[:first]), "".join(lines[first:])
        boundary = find_boundary(prefix, "", "block")
        assert boundary is not None
        end, ended = boundary(rest, None)
        wanted = "".join(lines[first:last]).rstrip("\n")
        assert rest[:end] == wanted and (ended or end == len(rest.rstrip()))


CODE = st.lists(st.sampled_from([*"ab=:()[]#'\"\\\n.@", "\n    ", "\n\n", '"""', "else:"]), max_size=40).map(
    "".join
)


@given(CODE, CODE, CODE, st.sampled_from(["line", "block", None]))
def test_what_was_certain_stays(prefix: str, suffix: str, text: str, unit: str | None) -> None:
    boundary = find_boundary(prefix, suffix, unit)  # type: ignore[arg-type]
    if boundary is None:
        return
    certain = 0
    for size in range(len(text) + 1):
        settled, ended = boundary(text[:size], None)
        assert certain <= settled <= size
        certain = settled
        if ended:
            return
    for reason in ("stop", "length"):
        assert certain <= boundary(text, reason)[0] <= len(text)  # type: ignore[arg-type]


@given(CODE)
def test_logical_lines_cover_the_text(text: str) -> None:
    lines = list(logical_lines(text))
    assert "\n".join(text[line.start : line.end] for line in lines) == text
    assert [line.closed for line in lines] == [True] * (len(lines) - 1) + [False]


def test_indentation() -> None:
    assert [indentation(line) for line in ("", "a", "  a", "\ta", "  \ta", "   ")] == [0, 0, 2, 8, 8, 3]
