"""Count lines of code by room: no blank lines, comments or docstrings.

python dev/count_lines.py [--against REVISION]
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tokenize
from collections import Counter
from pathlib import Path, PurePosixPath

_ROOMS = ("nlpsuite", "plugins", "examples", "tests", "benchmarks", "docs", "dev", "exported")
_NOT_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
}  # fmt: skip


def code_lines(source: str) -> int:
    """Lines of ``source`` that hold a token of code, docstrings aside."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                lines.difference_update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def room(path: str) -> str:
    """``nlpsuite/data`` for a module of the core, else the top-level folder."""
    parts = PurePosixPath(path).parts
    if parts[0] == "nlpsuite":
        return "/".join(parts[:2]) if len(parts) > 2 else "nlpsuite/*.py"
    return parts[0]


def count(revision: str | None) -> Counter[str]:
    """Lines of code by room, of the working tree or of ``revision``."""
    listing = (
        ["ls-tree", "-r", "--name-only", revision] if revision else ["ls-files", "-co", "--exclude-standard"]
    )
    totals: Counter[str] = Counter()
    for path in _git(*listing).splitlines():
        if not path.endswith(".py") or path.split("/")[0] not in _ROOMS:
            continue
        try:
            source = (
                _git("show", f"{revision}:{path}") if revision else Path(path).read_text(encoding="utf-8")
            )
        except FileNotFoundError:  # removed, but not yet in the index
            continue
        try:
            totals[room(path)] += code_lines(source)
        except (SyntaxError, tokenize.TokenError):  # examples/read_lines.py stops halfway on purpose
            continue
    return totals


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--against", metavar="REVISION", help="also count this revision")
    before = parser.parse_args().against
    columns = [count(revision) for revision in ([before] if before else []) + [None]]
    rooms = sorted(set().union(*columns))
    for name in rooms:
        print(f"{name:24}", *(f"{column[name]:8,}" for column in columns))
    print(f"{'total':24}", *(f"{sum(column.values()):8,}" for column in columns))


if __name__ == "__main__":
    main()
