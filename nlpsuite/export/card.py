"""The model card of a bundle, README.md: origin, results, usage and limits.

The front matter is what model hubs read; source: huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from nlpsuite.models.adapter import MergedCheckpoint
from nlpsuite.models.checkpoint import Checkpoint

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
    graph, adapter = manifest["graphs"][0], manifest.get("adapter")
    parts = [
        _front_matter(manifest),
        f"# {_line(manifest['name'])}",
        f"An ONNX bundle written by {manifest['created_by']}: {weights / 1e6:,.1f} million weights, "
        f"layout `{graph['layout']}`, precision `{graph['precision']}` ({_PRECISIONS[graph['precision']]}), "
        f"context {manifest['context_length']:,} tokens.",
        "## Usage",
        _usage(manifest),
        "## Origin",
        _origin(manifest),
    ]
    if adapter:
        parts += ["## Adapter", _adapter(adapter)]
    if verification := manifest.get("verification"):
        parts += ["## Verification", _verification(verification)]
    parts += ["## Limits", _limits(manifest)]
    if own:
        # Its headings move below ours.
        demoted = re.sub(r"^(#{1,4}) ", r"#\1 ", own, flags=re.MULTILINE)
        parts += ["## Card of the base model", re.sub(r"^## ", "### ", demoted, flags=re.MULTILINE)]
    return "\n\n".join(parts) + "\n"


def _front_matter(manifest: Mapping[str, Any]) -> str:
    graph = manifest["graphs"][0]
    lines = ["---"]
    if license := manifest.get("license"):
        if re.fullmatch(r"[A-Za-z0-9.+-]+", license):
            lines.append(f"license: {license.lower()}")
        else:
            lines += ["license: other", f"license_name: {json.dumps(license, ensure_ascii=False)}"]
    source = str(manifest["origin"]["source"])
    base = manifest["adapter"]["base"] if manifest.get("adapter") else manifest["name"]
    if source.startswith("hf:"):
        base = source.removeprefix("hf:").partition("@")[0]
    lines.append(f"base_model: {json.dumps(str(base), ensure_ascii=False)}")
    lines.append("pipeline_tag: text-generation")
    tags = ["nlpsuite", "onnx", graph["precision"]]
    if manifest.get("adapter"):
        tags.append(str(manifest["adapter"]["task"]))
    lines.append(f"tags: {json.dumps(tags, ensure_ascii=False)}")
    return "\n".join([*lines, "---"])


def _usage(manifest: Mapping[str, Any]) -> str:
    graph, adapter = manifest["graphs"][0], manifest.get("adapter")
    if graph["layout"] == "portable":
        return (
            "The directory is laid out as onnxruntime-genai, transformers.js and optimum expect it; "
            f"`{graph['path']}` has the inputs `input_ids`, `attention_mask`, `position_ids` and "
            "`past_key_values.*`. nlpsuite itself runs the layout `slots`."
        )
    task = (adapter and adapter["task"]) or "complete"
    what = "file.txt" if adapter and adapter["task"] else '--text "Once upon a time"'
    return f"    nlpsuite run {_line(task)} --model DIR {what}\n\nDIR is this directory. docs/bundle.md of nlpsuite describes the format."


def _origin(manifest: Mapping[str, Any]) -> str:
    origin = manifest["origin"]
    rows = [f"| `{_line(entry['name'])}` | `{entry['sha256']}` |" for entry in origin["files"]]
    license = manifest.get("license")
    stated = (
        f"License: {_line(license)}."
        if license
        else "The base states no license: find out before you redistribute this."
    )
    return "\n".join(
        [f"Source: `{_line(origin['source'])}`. {stated}", "", "| file | sha256 |", "|---|---|", *rows]
    )


def _adapter(adapter: Mapping[str, Any]) -> str:
    lines = [
        f"The task `{_line(adapter['task'])}`, version {_line(adapter['task_version'])} ({_line(adapter['distribution'])}), "
        f"with the options `{json.dumps(adapter['options'], ensure_ascii=False)}`."
    ]
    data = [
        f"- `{_line(entry.get('name', '?'))}`, {entry.get('rows', '?')} rows, license {_line(entry.get('license') or 'not stated')}, "
        f"sha256 `{_line(entry.get('sha256', '?'))}`"
        for entry in adapter["data"]
    ]
    if data:
        lines += ["", "Trained on:", "", *data]
    if adapter["evaluation"]:
        rows = [f"| {_line(name)} | {_figure(value)} |" for name, value in adapter["evaluation"].items()]
        lines += ["", "| on held-out rows | |", "|---|---|", *rows]
        lines += ["", "Measured when training ended."]
    return "\n".join(lines)


def _verification(verification: Mapping[str, Any]) -> str:
    rows = {
        "perplexity of the graph": f"{verification['perplexity']:.3f} (± {verification['perplexity_uncertainty']:.1%} of it)",
        "perplexity in torch, fp32": f"{verification['reference_perplexity']:.3f}",
        "same most likely token": f"{verification['top1_agreement']:.1%}",
        "largest difference of a logit": f"{verification['max_logit_difference']:.2g}",
        "greedy tokens that agree": f"{verification['greedy_agreement']} of {verification['greedy_tokens']}",
    }
    return "\n".join(
        [
            f"The graph was compared with the same weights in torch, on {verification['tokens']} tokens of English and code:",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows.items()),
        ]
    )


def _limits(manifest: Mapping[str, Any]) -> str:
    graph, adapter = manifest["graphs"][0], manifest.get("adapter")
    limits = [
        "- A language model continues text by likelihood. Its output may be wrong, invented or offensive; "
        "have a person check what matters.",
        f"- It sees {manifest['context_length']:,} tokens at once.",
    ]
    if adapter:
        limits.append("- It was adapted to one task and may be worse than its base at others.")
    if graph["precision"] == "fp16":
        limits.append("- fp16 is for CUDA and WebGPU; on a CPU it is slower than fp32.")
    if graph["precision"] in ("int8", "int4"):
        limits.append(
            "- Activations are quantised too, so processing a text at once and token by token differ slightly."
        )
    if not manifest.get("verification"):
        limits.append("- The graph was not compared with torch when it was exported.")
    return "\n".join(limits)


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _line(json.dumps(value, ensure_ascii=False))


def _line(text: Any) -> str:
    """On one line, without characters that would end a table cell or inline code."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("`", "'")
