"""The SentencePiece files among the fixtures, and what llama.cpp's converter makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlpsuite.models.sentencepiece_file import read_sentencepiece

FIXTURES = Path(__file__).parents[1] / "fixtures" / "sentencepiece"


def metadata_of(name: str) -> dict[str, Any]:
    """As llama.cpp's converter writes them."""
    read = read_sentencepiece(FIXTURES / f"{name}.model").pieces
    values = {
        "model": "t5" if read.algorithm == "unigram" else "llama",
        "tokens": list(read.tokens), "scores": list(read.scores), "token_type": list(read.types),
        "bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0, "add_space_prefix": read.space_prefix,
        "remove_extra_whitespaces": read.single_spaces, "precompiled_charsmap": list(read.charsmap),
    }  # fmt: skip
    return {f"tokenizer.ggml.{key}": value for key, value in values.items()}
