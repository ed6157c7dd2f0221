"""Write the catalogue into docs/models.md, between its two comments: python docs/make_models_page.py"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from nlpsuite.models.catalog import CatalogModel, catalog

PAGE = Path(__file__).parent / "models.md"
BEGIN, END = "<!-- The catalogue: made by docs/make_models_page.py -->", "<!-- end of the catalogue -->"


def section() -> str:
    """The tables of the catalogue."""
    lines = [
        "| name | weights | license | int8 | int4 | fp16 | memory | context |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model in catalog():
        row, memory = model.describe(), model.describe()["memory_bytes"]["int8"]
        sizes = " | ".join(_gigabytes(row["bytes"][precision]) for precision in ("int8", "int4", "fp16"))
        lines.append(
            f"| [{model.name}]({model.page}) | {model.parameters / 1e6:,.0f} M | {_license(model)} | {sizes} | "
            f"{_gigabytes(memory)} | {row['context_length']:,} |"
        )
    lines += ["", "| name | good for | published figures (%) | prompts tried |", "|---|---|---|---|"]
    for model in catalog():
        figures = "; ".join(f"{f.test} {f.value} ({f.source})" for f in model.figures)
        lines.append(f"| {model.name} | {model.good_for} | {figures} | {', '.join(model.checked) or '–'} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with today's catalogue in it."""
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    return re.sub(pattern, lambda _: f"{BEGIN}\n{section()}\n{END}", text, flags=re.DOTALL)


def _license(model: CatalogModel) -> str:
    named = f"[{model.license}]({model.terms})" if model.terms else model.license
    return f"{named}, token" if model.gated else named


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        sys.stdout.buffer.write(page(PAGE.read_text(encoding="utf-8")).encode())
    else:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        print(PAGE)
