"""Rebuilding a tokenizer from the metadata of a GGUF file: byte-level BPE, or SentencePiece's BPE.

A GGUF file of a byte-level tokenizer holds the tokens, the merges and the *name* of the pre-tokenizer; its
regular expressions are built into llama.cpp (``src/llama-vocab.cpp``) and are restated here as steps of
Hugging Face ``tokenizers``. One of a SentencePiece tokenizer holds the tokens with their scores: see
``sentencepiece``. The yardstick is equality with llama.cpp, token for token; hence there is no Unicode
normalisation, even where the model's authors had one. A byte without a token in a byte-level vocabulary
(rare control characters) vanishes, as it does there.
"""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Split

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError
from nlpsuite.models.sentencepiece import CONTROL, UNKNOWN, sentencepiece_tokenizer
from nlpsuite.models.tokenizer_files import SpecialTokens, make_tokenizer_files

__all__ = ["tokenizer_files"]

_USER_DEFINED = 4  # of tokenizer.ggml.token_type
# What llama.cpp assumes of a SentencePiece vocabulary that doesn't say.
_SENTENCEPIECE_IDS = {"bos": 1, "eos": 2, "unknown": 0}

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES_ONLY = ByteLevel(add_prefix_space=False, use_regex=False)
_GPT2_BYTES = ByteLevel(add_prefix_space=False)  # splits by _GPT2, then maps bytes to letters


def _split(pattern: str) -> PreTokenizer:
    return Split(Regex(pattern), "isolated")


# tokenizer.ggml.pre -> steps, each splitting the pieces of the previous one.
_PRE_TOKENIZERS: dict[str, list[PreTokenizer]] = {
    "smollm": [Digits(individual_digits=True), _GPT2_BYTES],
    "gpt-2": [_GPT2_BYTES],
    # What llama.cpp does with a file that names no pre-tokenizer.
    "default": [
        _split(r"[\p{P}\$\+<=>\^~\|]+"),
        _split(_GPT2),
        _split(r"\p{N}+"),
        _split("[0-9][0-9][0-9]"),
        _BYTES_ONLY,
    ],
    "llama-bpe": [_split(_LLAMA3), _BYTES_ONLY],
    "qwen2": [_split(_LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")), _BYTES_ONLY],
}
# Pre-tokenizers whose tokenizer takes a piece that is itself a token whole, without applying merges.
_WHOLE_PIECES = ("llama-bpe",)
# Pre-tokenizers whose prompts begin with the beginning-of-text token unless the file says otherwise.
_BOS_UNLESS_DENIED = ("llama-bpe",)


def tokenizer_files(metadata: dict[str, Any]) -> dict[str, str]:
    """The tokenizer files of a bundle, see ``make_tokenizer_files``, from GGUF metadata.

    Raises:
        UnsupportedModelError: another kind of tokenizer, or an unknown pre-tokenizer.
        BundleCorruptError: tokens, merges, scores and ids don't fit together.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise UnsupportedModelError(
            f"Tokenizer {kind!r} of the GGUF file is not supported.",
            hint="Supported: 'gpt2' (byte-level BPE) and 'llama' (SentencePiece BPE). Give the model's "
            "Hugging Face directory instead.",
        )
    vocabulary = _vocabulary(metadata)
    tokens = list(vocabulary)
    defaults = _SENTENCEPIECE_IDS if kind == "llama" else {}
    ids = {
        role: _special_id(metadata, role, len(tokens), defaults.get(role))
        for role in ("bos", "eos", "eot", "unknown", "padding")
    }
    types = _per_token(metadata, "token_type", tokens, 1)
    # A file may mark its own bos or eos as ordinary text; then text could end a conversation.
    control = {i for i, type_ in enumerate(types) if type_ in (UNKNOWN, CONTROL)}
    control |= {i for role in ("bos", "eos", "eot") if (i := ids[role]) is not None}
    if kind == "llama":
        tokenizer = sentencepiece_tokenizer(
            vocabulary,
            _per_token(metadata, "scores", tokens, 0.0),
            types,
            control,
            space_prefix=metadata.get("tokenizer.ggml.add_space_prefix", True),
            unknown=None if ids["unknown"] is None else tokens[ids["unknown"]],
        )
    else:
        tokenizer = _byte_level_tokenizer(metadata, vocabulary)
    bos_by_default = kind == "llama" or metadata.get("tokenizer.ggml.pre") in _BOS_UNLESS_DENIED
    user_defined = {i for i, type_ in enumerate(types) if type_ == _USER_DEFINED} - control
    tokenizer.add_special_tokens([AddedToken(tokens[i], normalized=False) for i in control])
    tokenizer.add_tokens([AddedToken(tokens[i], normalized=False) for i in user_defined])
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
        add_bos=metadata.get("tokenizer.ggml.add_bos_token", bos_by_default),
        max_length=metadata.get(f"{metadata.get('general.architecture')}.context_length"),
        chat_template=template if isinstance(template, str) else None,
    )


def _vocabulary(metadata: dict[str, Any]) -> dict[str, int]:
    tokens = _strings(metadata, "tokenizer.ggml.tokens")
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        raise BundleCorruptError(f"{len(tokens) - len(vocabulary)} tokens of the GGUF file appear twice.")
    if "" in vocabulary:
        raise BundleCorruptError(f"Token {vocabulary['']} of the GGUF file is empty.")
    return vocabulary


def _byte_level_tokenizer(metadata: dict[str, Any], vocabulary: dict[str, int]) -> Tokenizer:
    name = metadata.get("tokenizer.ggml.pre", "default")
    if not isinstance(name, str) or name not in _PRE_TOKENIZERS:
        raise UnsupportedModelError(
            f"Pre-tokenizer {name!r} of the GGUF file is not supported.",
            hint=f"Supported: {', '.join(_PRE_TOKENIZERS)}. Give the model's Hugging Face directory instead.",
        )
    merges = _merges(metadata, vocabulary)
    tokenizer = Tokenizer(BPE(vocabulary, merges, ignore_merges=name in _WHOLE_PIECES))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(_PRE_TOKENIZERS[name])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


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
