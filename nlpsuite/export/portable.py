"""The files beside a portable graph that other apps read.

Read by onnxruntime-genai (``genai_config.json``), transformers.js and optimum (``config.json``,
``generation_config.json``, ``tokenizer_config.json``). Sources: onnxruntime.ai/docs/genai/reference/config,
huggingface.co/docs/transformers.js/guides/dtypes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from nlpsuite.errors import UnsupportedModelError
from nlpsuite.models.config import ModelConfig

__all__ = ["GRAPH_FILES", "check_portable", "portable_files"]

GRAPH_FILES = {
    "fp32": "onnx/model.onnx",
    "fp16": "onnx/model_fp16.onnx",
    "int8": "onnx/model_quantized.onnx",
    "int4": "onnx/model_q4.onnx",
}
"""Where other apps look for a graph of each precision; its weights lie beside it, in ``<file>_data``."""

# transformers.js's names for these files, and for the type of its caches.
_DTYPES = {
    "model.onnx": "fp32",
    "model_fp16.onnx": "fp16",
    "model_quantized.onnx": "q8",
    "model_q4.onnx": "q4",
}


def check_portable(config: ModelConfig) -> None:
    """Raise UnsupportedModelError for a recurrent model, which has no portable graph."""
    if config.recurrent:
        raise UnsupportedModelError(
            "A recurrent model has no portable graph: other apps only support key-value caches.",
            hint="Export it with --layout slots.",
        )


def portable_files(
    config: ModelConfig, tokenizer_files: dict[str, str], graph_files: Sequence[str]
) -> dict[str, str]:
    """Name -> text of every file of a portable bundle except graph, weights and manifest.

    Args:
        tokenizer_files: as ``Checkpoint.tokenizer_files`` gives them.
        graph_files: paths of the graphs in the bundle, of ``GRAPH_FILES``; the first is the one to use unless another
            is asked for.

    Raises:
        UnsupportedModelError: a recurrent model.
    """
    check_portable(config)
    generation = json.loads(tokenizer_files["generation_config.json"])
    ids = {name: value for name, value in generation.items() if name.endswith("_token_id")}
    tokenizer = json.loads(tokenizer_files["tokenizer_config.json"])
    # transformers.js doesn't read chat_template.jinja. Generation needs padding on the left.
    if template := tokenizer_files.get("chat_template.jinja"):
        tokenizer["chat_template"] = template
    tokenizer["padding_side"] = "left"
    # Nothing is added to a prompt: the template writes the beginning-of-text token, if there is one.
    tokenizer["add_bos_token"] = False
    tokenizer["model_input_names"] = ["input_ids", "attention_mask"]  # by default token_type_ids too
    files = [PurePosixPath(graph_file).name for graph_file in graph_files]
    browser: dict[str, Any] = {
        "dtype": _DTYPES[files[0]],
        "use_external_data_format": dict.fromkeys(files, True),
    }
    if "fp16" in map(_DTYPES.get, files):
        browser["kv_cache_dtype"] = {"fp16": "float16"}
    architecture = {**config.to_hf(), **ids, "transformers.js_config": browser}
    return {
        **tokenizer_files,
        "tokenizer_config.json": _json(tokenizer),
        "config.json": _json(architecture),
        "genai_config.json": _json(_genai_config(config, ids, graph_files[0])),
    }


def _genai_config(config: ModelConfig, ids: dict[str, Any], graph_file: str) -> dict[str, Any]:
    shapes = [shape for _, shape in config.state_shapes()]
    kv_heads, _, head_dim = shapes[0]
    hf = config.to_hf()
    return {
        "model": {
            # One of the library's own kinds; they differ only in the names given below.
            "type": "llama",
            "bos_token_id": ids["bos_token_id"],
            "eos_token_id": ids["eos_token_id"],
            # The library drops these from the end of a prompt.
            "pad_token_id": ids["pad_token_id"],
            "context_length": config.context_length,
            "vocab_size": config.vocab_size,
            "decoder": {
                "filename": graph_file,
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "hidden_size": hf.get("hidden_size", hf.get("n_embd")),
                "head_size": head_dim,
                "num_attention_heads": hf.get("num_attention_heads", hf.get("n_head")),
                "num_key_value_heads": kv_heads,
                "num_hidden_layers": len(shapes) // 2,
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "position_ids": "position_ids",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        "search": {
            "do_sample": False,
            "num_beams": 1,
            "max_length": config.context_length,
            # The graph returns longer caches than its inputs, so they can't share memory.
            "past_present_share_buffer": False,
        },
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
