"""Draw the rooms of nlpsuite and the imports between them: modules, lines of code, arrows, cycles.

python dev/rooms.py                             # a table
python dev/rooms.py --svg rooms.svg             # a picture
python dev/rooms.py --against v0.1              # beside another revision
"""

from __future__ import annotations

import argparse
import importlib
import io
import math
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

import grimp
from count_lines import code_lines

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGE = "nlpsuite"


@dataclass(frozen=True)
class House:
    """The package at one revision.

    Attributes:
        modules, lines: of each room. A room is a subpackage, or a module at the top.
        arrows: how many modules of one room import modules of another.
        cycles: the modules that import each other, directly or through others.
        layers: the rooms from top to bottom, as the contract in pyproject.toml has them.
    """

    modules: Counter[str]
    lines: Counter[str]
    arrows: Counter[tuple[str, str]]
    cycles: list[list[str]]
    layers: list[list[str]]

    def level(self, room: str) -> int:
        """0 at the top; rooms that the contract doesn't name come last."""
        return next((n for n, row in enumerate(self.layers) if room in row), len(self.layers))

    def upward(self) -> list[tuple[str, str]]:
        """Arrows that don't go down."""
        return [(a, b) for a, b in self.arrows if self.level(a) >= self.level(b)]


def import_graph(root: Path) -> dict[str, set[str]]:
    """Which modules each module imports, also inside functions; not what only type checkers see.

    The package's ``__init__`` is left out: it offers the public names, each imported on first use.
    """
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        graph = grimp.build_graph(_PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    finally:
        sys.path.remove(str(root))
    modules = graph.modules - {_PACKAGE}
    return {name: graph.find_modules_directly_imported_by(name) & modules for name in sorted(modules)}


def find_cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan 1972), largest first."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for after in sorted(graph[node]):
            if after not in index:
                visit(after)
            if after in stack:
                low[node] = min(low[node], low[after])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(component := stack[at:]) > 1 or node in graph[node]:
                found.append(sorted(component))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return sorted(found, key=len, reverse=True)


def survey(root: Path) -> House:
    """Read the sources under ``root``."""
    graph = import_graph(root)
    modules, lines = Counter(map(_room, graph)), Counter[str]()
    for name in graph:
        file = root.joinpath(*name.split("."))
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        lines[_room(name)] += code_lines(file.read_text(encoding="utf-8"))
    arrows = Counter(
        (_room(a), _room(b)) for a, others in graph.items() for b in others if _room(a) != _room(b)
    )
    contracts = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    rows = [[name.strip("() ") for name in row.replace("|", ":").split(":")] for row in layers]
    return House(modules, lines, arrows, find_cycles(graph), rows)


def _room(module: str) -> str:
    return module.split(".")[1]


def checked_out(revision: str, target: Path) -> Path:
    """The sources of a git revision, in ``target``."""
    command = ["git", "archive", revision, _PACKAGE, "pyproject.toml"]
    archive = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(target, filter="data")
    return target


def as_text(house: House) -> Iterator[str]:
    """A table of rooms, then the totals and whatever breaks the rules."""
    yield f"{'room':12} {'modules':>7} {'lines':>6}  imports"
    for room in sorted(house.modules, key=lambda room: (house.level(room), room)):
        targets = sorted((b for a, b in house.arrows if a == room), key=house.level)
        imports = ", ".join(f"{target} {house.arrows[room, target]}" for target in targets)
        yield f"{room:12} {house.modules[room]:7} {house.lines[room]:6,}  {imports}"
    yield (
        f"{len(house.modules)} rooms, {house.modules.total()} modules, {house.lines.total():,} lines of code, "
        f"{len(house.arrows)} arrows between rooms for {house.arrows.total():,} imports"
    )
    yield f"{len(house.upward())} arrows that go up or sideways" + "".join(
        f"\n  {a} -> {b} ({house.arrows[a, b]})" for a, b in sorted(house.upward())
    )
    yield f"{len(house.cycles)} cycles of imports" + "".join(
        f"\n  {len(cycle)} modules: {', '.join(cycle)}" for cycle in house.cycles
    )


def as_svg(house: House) -> str:
    """Rooms as boxes, a row for each layer; arrows that don't go down are red."""
    rows: dict[int, list[str]] = {}
    for room in sorted(house.modules):
        rows.setdefault(house.level(room), []).append(room)
    width, step = 900, 74
    places = {
        room: (
            width * (n + 1) / (len(row) + 1) + (math.sin(level * 2.4) * 230 if len(row) == 1 else 0),
            50 + y * step,
        )
        for y, (level, row) in enumerate(sorted(rows.items()))
        for n, room in enumerate(row)
    }
    parts = []
    for (a, b), count in house.arrows.items():
        (x1, y1), (x2, y2) = places[a], places[b]
        wrong = house.level(a) >= house.level(b)
        parts.append(
            f'<path d="M{x1:.0f} {y1 + 20} C{x1:.0f} {y1 + 60},{x2:.0f} {y2 - 60},{x2:.0f} {y2 - 20}" fill="none" '
            f'stroke="{"#c22" if wrong else "#789"}" stroke-opacity="{0.9 if wrong else 0.5}" '
            f'stroke-width="{0.6 + math.log2(count):.1f}"><title>{a} → {b}: {count}</title></path>'
        )
    for room, (x, y) in places.items():
        about = f"{house.modules[room]} modules, {house.lines[room]:,} lines"
        parts.append(
            f'<rect x="{x - 78:.0f}" y="{y - 20}" width="156" height="40" rx="6" fill="#eef3f8" stroke="#456"/>'
            f'<text x="{x:.0f}" y="{y - 3}" font-weight="bold">{escape(room)}</text>'
            f'<text x="{x:.0f}" y="{y + 13}" font-size="11">{about}</text>'
        )
    height = 50 + len(rows) * step
    total = f"{house.modules.total()} modules, {house.lines.total():,} lines, {len(house.cycles)} cycles of imports"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="14" text-anchor="middle"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}'
        f'<text x="{width / 2:.0f}" y="{height - 16}">{total}</text></svg>\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--against", metavar="REVISION", help="show this revision first")
    parser.add_argument(
        "--svg", metavar="FILE", type=Path, help="write a picture; of --against, FILE-before.svg"
    )
    args = parser.parse_args()
    houses = []
    if args.against:
        with tempfile.TemporaryDirectory() as place:
            houses.append((args.against, "-before", survey(checked_out(args.against, Path(place)))))
    houses.append(("working tree", "", survey(_ROOT)))
    for name, ending, house in houses:
        print(f"== {name}", *as_text(house), sep="\n")
        if args.svg:
            args.svg.with_stem(args.svg.stem + ending).write_text(as_svg(house), encoding="utf-8")


if __name__ == "__main__":
    main()
