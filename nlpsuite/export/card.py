"""The model card of a bundle, README.md: origin, results, usage and limits.

The front matter is what model hubs read; source: huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.models.merged import MergedCheckpoint

__all__ = ["model_card", "own_card"]

_PRECISIONS = {
    "fp32": "32-bit floating point, as trained",
    "fp16": "16-bit floating point, for CUDA and WebGPU",
    "int8": "8 bits per weight in blocks of 32; vectors, and weights that no linear layer reads, in 32-bit floating point",
    "int4": "4 bits per weight in blocks of 32, each with a scale and a minimum; embedding and head 8 bits",
}
# A longer card is better read at its source.
_MOST_CHARACTERS = 20_000


def own_card(checkpoint: Checkpoint) -> str:
    """The checkpoint's own model card without its front matter; empty if there is none."""
    if isinstance(checkpoint, MergedCheckpoint):
        checkpoint = checkpoint.base
    weights = checkpoint.source_files()[0]
    if weights.suffix == ".gguf":  # files beside it need not be about it
        return ""
    try:
        text = (weights.parent / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    text = re.sub(r"\A---\s*\n.*?\n---\s*(\n|\Z)", "", text, flags=re.DOTALL).strip()
    return text if len(text) <= _MOST_CHARACTERS else ""


def model_card(manifest: Mapping[str, Any], *, own: str = "", weights: int) -> str:
    """The text of README.md.

    Args:
        manifest: the bundle's, without ``files``.
        own: the base's card, see ``own_card``.
        weights: the number of weights.
    """
    import jinja2

    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters.update(json=_json, line=_line, number=_number)
    environment.tests["plain"] = lambda license: re.fullmatch(r"[A-Za-z0-9.+-]+", license)
    template = resources.files("nlpsuite.export").joinpath("card.md.jinja").read_text(encoding="utf-8")
    graph, adapter, source = manifest["graphs"][0], manifest.get("adapter"), manifest["origin"]["source"]
    base = adapter["base"] if adapter else manifest["name"]
    if str(source).startswith("hf:"):
        base = source.removeprefix("hf:").partition("@")[0]
    card = environment.from_string(template).render(
        **manifest,
        base=base,
        context=f"{manifest['context_length']:,}",
        graph=graph,
        precision=_PRECISIONS[graph["precision"]],
        library="transformers.js" if graph["layout"] == "portable" else "nlpsuite",
        variants=[
            (each["path"], each["precision"], _PRECISIONS[each["precision"]])
            for each in manifest["graphs"][1:]
        ],
        tags=[
            "nlpsuite",
            "onnx",
            *(each["precision"] for each in manifest["graphs"]),
            *([adapter["task"]] if adapter and adapter["task"] else []),
        ],
        weights=weights,
    )
    if own:
        # Its headings move below ours.
        demoted = re.sub(r"^(#{1,4}) ", r"#\1 ", own, flags=re.MULTILINE)
        demoted = re.sub(r"^## ", "### ", demoted, flags=re.MULTILINE)
        card += f"\n## Card of the base model\n\n{demoted}\n"
    return card


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _line(_json(value))


def _line(text: Any) -> str:
    """On one line, without characters that would end a table cell or inline code."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("`", "'")
