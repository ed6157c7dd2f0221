"""Training examples for the adapter of complete, cut from the standard library and permissively licensed packages.

    pip download --no-deps --only-binary :all: -r packages.txt -d WHEELS
    python make_data.py WHEELS OUTPUT
    nlpsuite train adapter --task complete --data OUTPUT/train.jsonl --option-column suffix=suffix

Written to OUTPUT: ``train.jsonl`` with the columns text, suffix, completion, kind and source, and
``manifest.json`` with the license, version and sha256 of every package. A package whose license isn't on the list is
an error. Functions that share a run of 13 words with an evaluation set (--without), or are called what one there is
called, are dropped; benchmarks/overlap.py shows that nothing is left.

The kinds: ``function``, from signature and docstring to the body; ``line``, the whole of a line or its end;
``lines``, several; ``block``, the body of a compound statement; ``span``, any characters (random spans of Bavarian et
al. 2022, arXiv:2207.14255); ``next``, what follows without a suffix.
"""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from python_sources import Source, read_sources  # type: ignore[import-not-found]  # beside this script

from nlpsuite.plugins import OverlapIndex, good_rows, open_table

# Shares of the examples.
KINDS = {"function": 34, "line": 32, "lines": 9, "block": 12, "span": 8, "next": 5}
CHARACTERS_PER_TOKEN = 3.7  # of the default model, in Python
TOKENS_PER_EXAMPLE = 185
MOST_LINES = 40  # in a function
MOST_PER_PACKAGE = 0.12  # share of the examples; of the standard library, three times as much
TRIES = 4  # to cut an example of a kind out of a function


class Function(NamedTuple):
    """A function in a file.

    Attributes:
        lines: of the file, with their line feeds.
        first, last: its lines, from 0, decorators included; ``last`` is the one behind it.
        body: the first line behind signature and docstring.
    """

    source: Source
    node: ast.FunctionDef | ast.AsyncFunctionDef
    lines: list[str]
    first: int
    last: int
    body: int

    @property
    def text(self) -> str:
        return "".join(self.lines[self.first : self.last])


class Example(NamedTuple):
    text: str
    completion: str
    suffix: str = ""


# From files to functions.


def functions(source: Source) -> Iterator[Function]:
    """The functions of a file that are worth learning from."""
    tree = ast.parse(source.text)
    lines = source.text.splitlines(keepends=True)
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
        statements = node.body[1:] if ast.get_docstring(node) else node.body
        assert node.end_lineno is not None
        if not statements or node.end_lineno - first > MOST_LINES + 40 or is_stub(statements):
            continue
        body = node.body[0].end_lineno if ast.get_docstring(node) else statements[0].lineno - 1
        if body is not None and 1 <= node.end_lineno - body <= MOST_LINES and statements[0].lineno > body:
            yield Function(source, node, lines, first, node.end_lineno, body)


def is_stub(statements: list[ast.stmt]) -> bool:
    """Whether a body does nothing."""
    [first, *others] = statements
    constant = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return not others and (constant or isinstance(first, ast.Pass | ast.Raise))


def imports_of(function: Function) -> str:
    """The imports of the file that the function uses, as HumanEval's prompts begin."""
    used = {node.id for node in ast.walk(function.node) if isinstance(node, ast.Name)}
    found = [line for name, line in import_lines(function.source) if name in used]
    return "".join(found) + ("\n\n" if found else "")


@functools.cache  # a file has many functions
def import_lines(source: Source) -> list[tuple[str, str]]:
    """The absolute imports of a file, one for each name: the name, and a line that imports it alone."""
    found = []
    for node in ast.parse(source.text).body:
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level):
            for alias in node.names:
                node.names = [alias]
                found.append(((alias.asname or alias.name).partition(".")[0], ast.unparse(node) + "\n"))
    return found


# From functions to examples.


def cut_function(function: Function, generator: random.Random) -> Example | None:
    """From signature and docstring to the body."""
    node, lines = function.node, function.lines
    docstring = ast.get_docstring(node)
    if not docstring or len(docstring) < 20:
        return None
    edge = " " * node.col_offset
    own = [line.removeprefix(edge) for line in lines[function.first : function.last]]
    head = "".join(own[: function.body - function.first])
    body = "".join(own[function.body - function.first :])
    if len(head) > 1_600:
        return None
    return Example(imports_of(function) + head, body.strip("\n"))


def cut_line(function: Function, generator: random.Random) -> Example | None:
    """A line, or the end of one."""
    at = generator.randrange(function.body, function.last)
    line = function.lines[at].rstrip("\n")
    if not line.strip() or (line.strip().startswith("#") and generator.random() < 0.9):
        return None
    start = 0
    if generator.random() < 0.35:
        start = generator.randrange(len(line) - len(line.lstrip()), len(line))
    return gap(function, generator, (at, start), (at, len(line)))


def cut_lines(function: Function, generator: random.Random) -> Example | None:
    """Several lines."""
    if function.last - function.body < 3:
        return None
    at = generator.randrange(function.body, function.last - 1)
    end = min(function.last - 1, at + generator.randint(1, 6))
    return gap(function, generator, (at, 0), (end, len(function.lines[end].rstrip("\n"))))


def cut_block(function: Function, generator: random.Random) -> Example | None:
    """The body of a compound statement, or what is left of it from one of its statements on."""
    blocks = [
        block
        for node in ast.walk(function.node)
        for name in ("body", "orelse", "finalbody")
        if isinstance(block := getattr(node, name, None), list) and block and isinstance(block[0], ast.stmt)
    ]
    block = generator.choice(blocks)
    first = block[0 if generator.random() < 0.6 else generator.randrange(len(block))].lineno - 1
    last = block[-1].end_lineno - 1
    if first < function.body or function.lines[first][: block[0].col_offset].strip():
        return None
    return gap(function, generator, (first, 0), (last, len(function.lines[last].rstrip("\n"))))


def cut_span(function: Function, generator: random.Random) -> Example | None:
    """Any characters."""
    places = [
        (at, column)
        for at in range(function.body, function.last)
        for column in range(len(function.lines[at].rstrip("\n")) + 1)
    ]
    begin = generator.randrange(len(places))
    end = min(len(places) - 1, begin + generator.randint(1, 240))
    return gap(function, generator, places[begin], places[end])


def cut_next(function: Function, generator: random.Random) -> Example | None:
    """What follows in the function, without a suffix."""
    at = generator.randrange(function.body, function.last)
    if not function.lines[at].strip():
        return None
    found = gap(
        function, generator, (at, 0), (function.last - 1, len(function.lines[function.last - 1].rstrip("\n")))
    )
    return found and Example(found.text, found.completion)


def gap(
    function: Function, generator: random.Random, begin: tuple[int, int], end: tuple[int, int]
) -> Example | None:
    """The text between two places (line, column), with a random amount of the file around it."""
    lines = function.lines
    first = function.first - (generator.randrange(30) if generator.random() < 0.4 else 0)
    last = function.last + (generator.randrange(20) if generator.random() < 0.5 else 0)
    prefix = "".join(lines[max(0, first) : begin[0]]) + lines[begin[0]][: begin[1]]
    suffix = lines[end[0]][end[1] :] + "".join(lines[end[0] + 1 : last])
    if begin[0] == end[0]:
        middle = lines[begin[0]][begin[1] : end[1]]
    else:
        middle = lines[begin[0]][begin[1] :] + "".join(lines[begin[0] + 1 : end[0]]) + lines[end[0]][: end[1]]
    if not middle.strip() or len(middle) > 800:
        return None
    most = generator.choice((300, 700, 1_500))
    if len(prefix) > 2 * most:
        prefix = prefix[-2 * most :].partition("\n")[2]
    if len(suffix) > most:
        suffix = suffix[: suffix.rindex("\n", 0, most) + 1] if "\n" in suffix[:most] else ""
    return Example(prefix, middle, suffix)


CUTS = {
    "function": cut_function,
    "line": cut_line,
    "lines": cut_lines,
    "block": cut_block,
    "span": cut_span,
    "next": cut_next,
}


def evaluation_index(names: list[str]) -> tuple[OverlapIndex, set[str]]:
    """What must not be learned: the texts of the evaluation sets, and the names of the functions asked for."""
    index = OverlapIndex()
    asked: set[str] = set()
    for name in names:
        for number, (_, values) in enumerate(good_rows(open_table(name))):
            asked.add(str(values.get("entry_point")))
            for value in values.values():
                for text in value if isinstance(value, list) else [value]:
                    if isinstance(text, str):
                        index.add(number, text)
    return index, asked


def make(
    found: list[Function], index: OverlapIndex, tokens: int, generator: random.Random
) -> tuple[list[dict[str, str]], Counter[str]]:
    """Examples of all kinds until there are enough tokens, and their number by package.

    Args:
        index: what no example may share; the file around a function may.
    """
    rows: list[dict[str, str]] = []
    by_package: Counter[str] = Counter()
    seen: set[bytes] = set()
    expected = tokens / TOKENS_PER_EXAMPLE
    left = tokens * CHARACTERS_PER_TOKEN
    idle = 0
    # Whole bodies are the scarcest, so each function gives one first; then any of the others.
    order = [(function, "function") for function in generator.sample(found, len(found))]
    by_kind: Counter[tuple[str, str]] = Counter()
    wanted = {kind: expected * share / sum(KINDS.values()) for kind, share in KINDS.items()}
    made: Counter[str] = Counter()
    while left > 0 and idle < min(20_000, 100 * len(found)):
        if order and made["function"] < wanted["function"]:
            function, kind = order.pop()
        else:
            function = generator.choice(found)
            kind = generator.choices([*wanted], [max(0.0, wanted[k] - made[k]) + 1e-9 for k in wanted])[0]
        idle += 1
        package = function.source.package
        share = MOST_PER_PACKAGE * (3 if package == "python" else 1)
        if made[kind] >= wanted[kind] or by_kind[package, kind] >= share * wanted[kind]:
            continue
        example = next(filter(None, (CUTS[kind](function, generator) for _ in range(TRIES))), None)
        if (
            example is None
            or not example.text.strip()
            or index.shares(example.text + example.completion + example.suffix)
        ):
            continue
        digest = hashlib.sha256("\0".join(example).encode()).digest()
        if digest in seen:
            continue
        seen.add(digest)
        idle = 0
        left -= len("".join(example))
        made[kind] += 1
        by_kind[package, kind] += 1
        by_package[package] += 1
        rows.append({**example._asdict(), "kind": kind, "source": function.source.name})
    return rows, by_package


def main() -> None:
    """Write the examples and the manifest."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheels", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tokens", type=int, default=6_000_000, help="about so many, prompts included")
    parser.add_argument(
        "--without", action="append", metavar="DATA", help="evaluation set to keep out; repeatable"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    without = given.without or ["humaneval", "humaneval-infilling:single-line"]
    generator = random.Random(given.seed)
    index, asked = evaluation_index(without)
    packages, sources = read_sources(given.wheels)
    every = {f.text: f for source in sources for f in functions(source)}  # copies of a function count once
    found = [
        function
        for text, function in every.items()
        if function.node.name not in asked and not index.shares(text)
    ]
    if not found:
        raise SystemExit("There is no function to learn from.")
    rows, by_package = make(found, index, given.tokens, generator)
    generator.shuffle(rows)
    given.output.mkdir(parents=True, exist_ok=True)
    with (given.output / "train.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    characters = sum(len(row["text"] + row["suffix"] + row["completion"]) for row in rows)
    manifest = {
        "rows": len(rows),
        "tokens": round(characters / CHARACTERS_PER_TOKEN),
        "kinds": dict(Counter(row["kind"] for row in rows).most_common()),
        "seed": given.seed,
        "functions": len(found),
        "dropped": {"because of": without, "functions": len(every) - len(found)},
        "packages": [package._asdict() | {"rows": by_package[package.name]} for package in packages],
    }
    (given.output / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({**manifest, "packages": len(packages)}, indent=1))


if __name__ == "__main__":
    main()
