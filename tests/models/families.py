"""The table of families in docs/models.md, each of whose cells is a test: python tests/models/families.py

The tests are in test_family_table.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- The table of families: made by tests/models/families.py -->", "<!-- end of the table -->"


class Family(NamedTuple):
    """A row of the table: the models that it stands for, and the tiny ones that are tested for it.

    ``reference`` is a model of transformers, see reference.py; ``gguf`` a configuration of GGUF files, see tiny.py.
    """

    models: str
    reference: str
    gguf: str
    gguf_note: str = ""


FAMILIES = (
    Family("Llama 3.2", "llama3", "llama"),
    Family("Mistral 7B", "mistral-short-window", "mistral-window", "as `llama`"),
    Family("Qwen 2.5", "qwen2", "qwen2"),
    Family("Qwen 3", "qwen3", "qwen3"),
    Family("Gemma 3", "gemma3", "gemma3"),
    Family("Phi-3 mini", "phi3", "phi3"),
    Family("Phi-4 mini", "phi4-mini", "phi3", "as `phi3`"),
    Family("SmolLM3", "smollm3", "smollm3"),
    Family("OLMo 2", "olmo2", "olmo2"),
    Family("OLMo 3", "olmo3", "olmo3", "as `olmo2`"),
    Family("Granite 3", "granite", "granite"),
    Family("Granite 4, dense", "granite4", "granite", "as `granite`"),
    Family("GPT-2", "gpt2", "gpt2"),
    Family("GPT-NeoX, Pythia", "gpt-neox", "gpt-neox"),
)

COLUMNS = {
    "read": "safetensors",
    "gguf": "GGUF",
    "train": "adapters",
    "slots": "own graph",
    "portable": "portable graph",
    "run": "tasks",
    "parity": "same text",
}
"""A column's test to its heading."""


def table() -> str:
    """The table in Markdown."""
    lines = ["| models | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for family in FAMILIES:
        cells = [
            "yes" + f", {family.gguf_note}" * (column == "gguf" and bool(family.gguf_note))
            for column in COLUMNS
        ]
        lines.append(f"| {family.models} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with today's table in it."""
    return re.sub(
        re.escape(BEGIN) + ".*?" + re.escape(END),
        lambda _: f"{BEGIN}\n{table()}\n{END}",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(PAGE)
