"""Rebuilding a tokenizer from the metadata of a GGUF file: byte-level BPE, or SentencePiece's BPE and unigram.

A GGUF file of a byte-level tokenizer holds the tokens, the merges and the *name* of the pre-tokenizer: see
``gguf_pre_tokenizers``. One of a SentencePiece tokenizer holds the tokens with their scores: see
``sentencepiece``. The yardstick is equality with llama.cpp, token for token; hence a BPE tokenizer has no Unicode
normalisation, even where the model's authors had one. A byte without a token in a byte-level vocabulary
(rare control characters) vanishes, as it does there.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError
from nlpsuite.models.gguf_pre_tokenizers import PreTokenization, find_pre_tokenization
from nlpsuite.models.sentencepiece import CONTROL, UNKNOWN, USER_DEFINED, Pieces
from nlpsuite.models.tokenizer_files import (
    SpecialTokens,
    add_tokens,
    make_tokenizer_files,
    suggested_sampling,
)

__all__ = ["tokenizer_files"]

# tokenizer.ggml.model to what llama.cpp assumes of a vocabulary that doesn't say.
_DEFAULT_IDS: dict[str, dict[str, int]] = {
    "gpt2": {},
    "llama": {"bos": 1, "eos": 2, "unknown": 0},
    "t5": {"eos": 1, "unknown": 2, "padding": 0},
}
# Of Phi-3's special tokens all but these swallow the white space behind them.
_PHI3_PLAIN = ("<unk>", "<s>", "<|endoftext|>")


def tokenizer_files(metadata: dict[str, Any]) -> dict[str, str]:
    """The tokenizer files of a bundle, see ``make_tokenizer_files``, from GGUF metadata.

    Raises:
        UnsupportedModelError: another kind of tokenizer, or an unknown pre-tokenizer.
        BundleCorruptError: tokens, merges, scores and ids don't fit together.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind not in _DEFAULT_IDS:
        raise UnsupportedModelError(
            f"Tokenizer {kind!r} of the GGUF file is not supported.",
            hint="Supported: 'gpt2' (byte-level BPE), 'llama' (SentencePiece BPE) and 't5' (SentencePiece "
            "unigram). Give the model's Hugging Face directory instead.",
        )
    tokens = _tokens(metadata)
    ids = {
        role: _special_id(metadata, role, len(tokens), _DEFAULT_IDS[kind].get(role))
        for role in ("bos", "eos", "eot", "unknown", "padding")
    }
    types = _per_token(metadata, "token_type", tokens, 1)
    # A file may mark its own bos or eos as ordinary text; then text could end a conversation.
    control = {i for i, type_ in enumerate(types) if type_ in (UNKNOWN, CONTROL)}
    control |= {i for role in ("bos", "eos", "eot") if (i := ids[role]) is not None}
    strip_after: Set[int] = frozenset()
    if kind == "gpt2":
        rules = find_pre_tokenization(metadata.get("tokenizer.ggml.pre"))
        tokenizer, add_bos = _byte_level(metadata, tokens, rules), rules.bos
    else:
        tokenizer, add_bos = (
            _pieces(metadata, tokens, types, ids["unknown"]).tokenizer(control),
            kind == "llama",
        )
        if metadata.get("general.architecture") == "phi3":
            strip_after = {i for i in control if tokens[i] not in _PHI3_PLAIN}
    user_defined = {i for i, type_ in enumerate(types) if type_ == USER_DEFINED}
    add_tokens(tokenizer, tokens, control, user_defined, strip_after=strip_after)
    special = SpecialTokens(
        control={tokens[i]: i for i in sorted(control)},
        bos=ids["bos"],
        unk=ids["unknown"],
        pad=ids["padding"],
        ends=[i for i in (ids["eos"], ids["eot"]) if i is not None],
    )
    template = metadata.get("tokenizer.chat_template")
    return make_tokenizer_files(
        tokenizer.to_str(),
        special,
        tokens.__getitem__,
        add_bos=metadata.get("tokenizer.ggml.add_bos_token", add_bos),
        max_length=metadata.get(f"{metadata.get('general.architecture')}.context_length"),
        chat_template=template if isinstance(template, str) else None,
        sampling=_sampling(metadata),
    )


def _sampling(metadata: dict[str, Any]) -> dict[str, float]:
    keys = {name: f"general.sampling.{name}" for name in ("top_k", "top_p", "min_p")}
    keys |= {"temperature": "general.sampling.temp", "repetition_penalty": "general.sampling.penalty_repeat"}
    found = {name: metadata[key] for name, key in keys.items() if type(metadata.get(key)) in (int, float)}
    # Stored as float32: 0.60000002 was written as 0.6.
    values = {name: float(str(np.float32(v))) if type(v) is float else v for name, v in found.items()}
    return suggested_sampling(values, drawn=values.get("temperature", 0) > 0)


def _tokens(metadata: dict[str, Any]) -> list[str]:
    tokens = _strings(metadata, "tokenizer.ggml.tokens")
    if repeated := len(tokens) - len(set(tokens)):
        raise BundleCorruptError(f"{repeated} tokens of the GGUF file appear twice.")
    if "" in tokens:
        raise BundleCorruptError(f"Token {tokens.index('')} of the GGUF file is empty.")
    return tokens


def _byte_level(metadata: dict[str, Any], tokens: list[str], rules: PreTokenization) -> Tokenizer:
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = _merges(metadata, vocabulary)
    tokenizer = Tokenizer(BPE(vocabulary, merges, ignore_merges=rules.whole_pieces))
    tokenizer.pre_tokenizer = rules.build()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _pieces(metadata: dict[str, Any], tokens: list[str], types: list[int], unknown: int | None) -> Pieces:
    unigram = metadata["tokenizer.ggml.model"] == "t5"
    charsmap = metadata.get("tokenizer.ggml.precompiled_charsmap") if unigram else None
    try:
        compiled = bytes(value & 0xFF for value in charsmap or ())
    except TypeError:
        raise BundleCorruptError("tokenizer.ggml.precompiled_charsmap of the GGUF file is damaged.") from None
    return Pieces(
        tokens,
        _per_token(metadata, "scores", tokens, 0.0),
        types,
        "unigram" if unigram else "bpe",
        unknown,
        space_prefix=bool(metadata.get("tokenizer.ggml.add_space_prefix", not unigram)),
        single_spaces=unigram and bool(metadata.get("tokenizer.ggml.remove_extra_whitespaces", False)),
        charsmap=compiled,
    )


def _merges(metadata: dict[str, Any], vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    merges = []
    for line in _strings(metadata, "tokenizer.ggml.merges"):
        left, _, right = line.partition(" ")
        if left not in vocabulary or right not in vocabulary or left + right not in vocabulary:
            raise BundleCorruptError(
                f"Merge {line!r} of the GGUF file doesn't make a token of its vocabulary."
            )
        merges.append((left, right))
    return merges


def _per_token(metadata: dict[str, Any], name: str, tokens: list[str], default: Any) -> list[Any]:
    """A list with a number for each token; of ``default`` if the file has none."""
    values = metadata.get(f"tokenizer.ggml.{name}")
    if values is None:
        return [default] * len(tokens)
    if not isinstance(values, list) or len(values) != len(tokens):
        raise BundleCorruptError(f"tokenizer.ggml.{name} of the GGUF file doesn't fit its tokens.")
    return values


def _special_id(metadata: dict[str, Any], role: str, count: int, default: int | None) -> int | None:
    key = f"tokenizer.ggml.{role}_token_id"
    token_id = metadata.get(key)
    if token_id is None:
        return default if default is not None and default < count else None
    if type(token_id) is not int or not 0 <= token_id < count:
        raise BundleCorruptError(f"{key} of the GGUF file is {token_id!r}; it has {count} tokens.")
    return token_id


def _strings(metadata: dict[str, Any], key: str) -> list[str]:
    values = metadata.get(key)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BundleCorruptError(f"{key} of the GGUF file is missing or not a list of strings.")
    return values
