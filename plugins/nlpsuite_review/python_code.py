"""The structure of Python code: its functions, its docstrings, and fragments of it."""

from __future__ import annotations

import ast
import json
import re
import threading
import warnings
from dataclasses import dataclass
from itertools import accumulate

__all__ = [
    "Fragment",
    "code_cells",
    "docstrings",
    "functions",
    "is_python",
    "parse",
    "parse_fragment",
    "shorten",
]

_PYTHON_LINE = re.compile(
    r"^(?:\s*(?:async\s+)?def \w+\(.*|\s*class \w+.*:|from [\w.]+ import .*[^;]|#!.*python.*)$", re.MULTILINE
)
_MAX_CHARACTERS = 2_000
# Warnings are recorded in a place that all threads share.
_WARNINGS = threading.Lock()
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Fragment:
    """Lines from the middle of a module, completed to valid Python.

    Attributes:
        offset: line ``n`` of ``text`` is line ``n - offset`` of the given ones.
    """

    text: str
    tree: ast.Module
    offset: int


def parse(source: str) -> ast.Module | None:
    """The syntax tree; None if there is none. Raises nothing."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def parse_fragment(lines: list[str], leading: int = 0, trailing: int = 0) -> Fragment | None:
    """Complete lines from the middle of a module by the blocks that they lie in.

    A fragment may start or end inside a string or a bracket, so up to ``leading`` lines at its start and
    ``trailing`` lines at its end are left out until the rest can be parsed. None if it never can.
    """
    for first in range(leading + 1):
        for last in range(len(lines), len(lines) - trailing - 1, -1):
            if found := _complete(lines[first:last]):
                return Fragment(found.text, found.tree, found.offset - first)
    return None


def _complete(lines: list[str]) -> Fragment | None:
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip() and line.lstrip()[0] != "#"]
    if not indents:
        return None
    lowest, levels = indents[0], {0} if indents[0] else set()
    for indent in indents:
        if indent < lowest:
            levels.add(indent)
            lowest = indent
    last = next(line for line in reversed(lines) if line.strip())
    tail = [" " * (len(last) - len(last.lstrip()) + 1) + "pass"] if last.rstrip().endswith(":") else []
    for opening in ("if 1:", "try:"):
        before = [" " * level + opening for level in sorted(levels)]
        text = "\n".join([*before, *lines, *tail])
        if tree := parse(text):
            return Fragment(text, tree, len(before))
        if not levels:
            break
    return None


def functions(tree: ast.Module) -> list[tuple[str, int, int]]:
    """Name, first and last line of every function and method that isn't inside another function."""
    found = []
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, prefix = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _Function):
                found.append((prefix + child.name, child.lineno, child.end_lineno or child.lineno))
            elif isinstance(child, ast.stmt):
                inside = f"{prefix}{child.name}." if isinstance(child, ast.ClassDef) else prefix
                waiting.append((child, inside))
    return sorted(found, key=lambda function: function[1])


def docstrings(tree: ast.Module) -> str:
    """The first paragraphs of the docstrings of a module and of its functions and classes."""
    about = []
    for node in (tree, *tree.body):
        if isinstance(node, ast.Module | _Function | ast.ClassDef) and (text := ast.get_docstring(node)):
            name = "" if isinstance(node, ast.Module) else f"{node.name}: "
            about.append(name + " ".join(text.split("\n\n")[0].split()))
    return "\n".join(shorten(about))


def shorten(words: list[str]) -> list[str]:
    """As many as a small model can make use of."""
    lengths = accumulate(len(word) for word in words)
    return [word for word, length in zip(words, lengths) if length <= _MAX_CHARACTERS]


def is_python(text: str) -> bool:
    """Judged by the look of the lines: Python with a syntax error is Python still."""
    if _PYTHON_LINE.search(text):
        ends = sum(line.rstrip().endswith((";", "{")) for line in text.split("\n"))
        return ends * 5 < text.count("\n") + 1
    tree = parse(text)
    return tree is not None and any(
        not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call) for node in tree.body
    )


def code_cells(text: str) -> list[tuple[int, str]] | None:
    """Number and source of a Python notebook's code cells; None if ``text`` isn't such a notebook."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        book = json.loads(text)
        language = book["metadata"].get("kernelspec", {}).get("language", "python")
        cells = [
            (number, "".join(cell["source"]))
            for number, cell in enumerate(book["cells"], 1)
            if cell["cell_type"] == "code"
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return cells if "nbformat" in book and language == "python" else None
