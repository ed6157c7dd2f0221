"""Rebuilding a byte-level BPE tokenizer from the metadata of a GGUF file.

A GGUF file holds the tokens, the merges and the *name* of the pre-tokenizer; its regular
expressions are built into llama.cpp (``src/llama-vocab.cpp``), and are given here again as
steps of Hugging Face ``tokenizers``. The yardstick is equality with llama.cpp, token for
token; so there is no Unicode normalisation, even where the model's authors had one. A byte
that has no token in the vocabulary (rare control characters) vanishes, as it does there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError

__all__ = ["END_OF_GENERATION", "choose_pad", "generation_config", "tokenizer_config", "tokenizer_files"]

END_OF_GENERATION = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>")
"""Control tokens that end a generation wherever a vocabulary has them."""

_PADS = ("<|finetune_right_pad_id|>", "<pad>", "<|pad|>", "[PAD]", "<|endoftext|>", "<|end_of_text|>")

# Values of tokenizer.ggml.token_type.
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES_ONLY: dict[str, Any] = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": False,
}
_GPT2_BYTES = {**_BYTES_ONLY, "use_regex": True}  # splits by _GPT2, then maps bytes to letters


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


# tokenizer.ggml.pre -> steps, each splitting what the one before it left.
_PRE_TOKENIZERS: dict[str, list[dict[str, Any]]] = {
    "smollm": [{"type": "Digits", "individual_digits": True}, _GPT2_BYTES],
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
# Those whose tokenizer takes a piece that is itself a token whole, without applying merges.
_WHOLE_PIECES = ("llama-bpe",)
# Those whose prompts begin with the beginning-of-text token if the file doesn't say otherwise.
_BOS_UNLESS_DENIED = ("llama-bpe",)


def tokenizer_files(metadata: dict[str, Any]) -> dict[str, str]:
    """The tokenizer files of a Hugging Face directory, from GGUF metadata.

    Gives name -> text of ``tokenizer.json`` (no post-processor: a beginning-of-text token
    belongs into the prompt), ``tokenizer_config.json``, ``generation_config.json`` (see
    ``generation_config``) and, if the model has one, ``chat_template.jinja``.

    Raises:
        UnsupportedModelError: a tokenizer other than byte-level BPE, or an unknown pre-tokenizer.
        BundleCorruptError: tokens, merges and ids don't fit together.
    """
    vocabulary = _vocabulary(metadata)
    tokens = list(vocabulary)
    special_ids = {
        name: _special_id(metadata, key, len(tokens))
        for name, key in {
            "bos": "bos",
            "eos": "eos",
            "eot": "eot",
            "unk": "unknown",
            "pad": "padding",
        }.items()
    }
    types = _token_types(metadata, len(tokens))
    # A file may mark its own bos or eos as ordinary text; then text could end a conversation.
    control = {i for i, kind in enumerate(types) if kind in (_UNKNOWN, _CONTROL)}
    control |= {i for name in ("bos", "eos", "eot") if (i := special_ids[name]) is not None}
    added = sorted(control | {i for i, kind in enumerate(types) if kind == _USER_DEFINED})

    pre_tokenizer = _pre_tokenizer_name(metadata)
    bos, ends = special_ids["bos"], [i for i in (special_ids["eos"], special_ids["eot"]) if i is not None]
    control_ids = {tokens[i]: i for i in control}
    pad = choose_pad(control_ids, declared=special_ids["pad"], bos=bos, eos=ends)
    files = {
        "tokenizer.json": json.dumps(
            _tokenizer_json(
                vocabulary,
                _merges(metadata, vocabulary),
                pre_tokenizer,
                [_added_token(i, tokens[i], special=i in control) for i in added],
            ),
            ensure_ascii=False,
        ),
        "tokenizer_config.json": tokenizer_config(
            {"bos": bos, "eos": special_ids["eos"], "unk": special_ids["unk"], "pad": pad},
            tokens.__getitem__,
            add_bos=metadata.get("tokenizer.ggml.add_bos_token", pre_tokenizer in _BOS_UNLESS_DENIED),
            max_length=metadata.get(f"{metadata.get('general.architecture')}.context_length"),
        ),
        "generation_config.json": generation_config(control_ids, bos=bos, eos=ends, pad=pad),
    }
    if isinstance(template := metadata.get("tokenizer.chat_template"), str):
        files["chat_template.jinja"] = template
    return files


def choose_pad(
    control: dict[str, int], *, declared: int | None, bos: int | None, eos: Iterable[int]
) -> int | None:
    """The id of a token to pad with that no prompt ends with.

    Prompts begin with ``bos`` and end turns with ``eos``, and some programs drop padding ids
    from the end of a prompt; so a declared padding token that is one of these is replaced
    by another of the ``control`` tokens (name -> id), if there is one.
    """
    eos = list(eos)
    taken = {bos, *eos}
    candidates = [declared, *(control.get(name) for name in _PADS)]
    for token_id in candidates:
        if token_id is not None and token_id not in taken:
            return token_id
    return next((i for i in (declared, *eos) if i is not None), None)


def tokenizer_config(
    ids: dict[str, int | None], token: Callable[[int], str | None], *, add_bos: bool, max_length: int | None
) -> str:
    """The text of a ``tokenizer_config.json``.

    Args:
        ids: role (``bos``, ``eos``, ``unk``, ``pad``) -> id, or None without such a token.
        token: gives the text of an id.
        add_bos: whether a raw prompt should begin with the ``bos`` token; nothing adds it by itself.
        max_length: longest context, in tokens.
    """
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": add_bos,
        **{f"{role}_token": token(i) for role, i in ids.items() if i is not None},
    }
    if max_length is not None:
        config["model_max_length"] = max_length
    return json.dumps(config, ensure_ascii=False, indent=2)


def generation_config(
    control: dict[str, int], *, bos: int | None, eos: Iterable[int], pad: int | None
) -> str:
    """The text of a ``generation_config.json``.

    ``eos_token_id`` is the sorted list of all ids that end a generation: ``eos`` and those of
    ``END_OF_GENERATION`` that are among the ``control`` tokens (name -> id).
    """
    ends = {*eos, *(control[name] for name in END_OF_GENERATION if name in control)}
    config = {"bos_token_id": bos, "eos_token_id": sorted(ends), "pad_token_id": pad}
    return json.dumps(config, indent=2)


def _vocabulary(metadata: dict[str, Any]) -> dict[str, int]:
    """Token -> id, in the order of the ids."""
    model = metadata.get("tokenizer.ggml.model")
    if model != "gpt2":
        raise UnsupportedModelError(
            f"Tokenizer {model!r} of the GGUF file is not supported.",
            hint="Supported: 'gpt2' (byte-level BPE). Convert the model from its Hugging Face directory, "
            "or give that directory.",
        )
    tokens = _strings(metadata, "tokenizer.ggml.tokens")
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        raise BundleCorruptError(f"{len(tokens) - len(vocabulary)} tokens of the GGUF file appear twice.")
    if "" in vocabulary:
        raise BundleCorruptError(f"Token {vocabulary['']} of the GGUF file is empty.")
    return vocabulary


def _merges(metadata: dict[str, Any], vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    merges = []
    for line in _strings(metadata, "tokenizer.ggml.merges"):
        left, _, right = line.partition(" ")
        if left not in vocabulary or right not in vocabulary or left + right not in vocabulary:
            raise BundleCorruptError(f"Merge {line!r} of the GGUF file makes no token of its vocabulary.")
        merges.append((left, right))
    return merges


def _pre_tokenizer_name(metadata: dict[str, Any]) -> str:
    name = metadata.get("tokenizer.ggml.pre", "default")
    if not isinstance(name, str) or name not in _PRE_TOKENIZERS:
        raise UnsupportedModelError(
            f"Pre-tokenizer {name!r} of the GGUF file is not supported.",
            hint=f"Supported: {', '.join(_PRE_TOKENIZERS)}. Give the model's Hugging Face directory instead.",
        )
    return name


def _token_types(metadata: dict[str, Any], count: int) -> list[int]:
    types = metadata.get("tokenizer.ggml.token_type")
    if types is None:
        return [1] * count
    if not isinstance(types, list) or len(types) != count:
        raise BundleCorruptError("tokenizer.ggml.token_type of the GGUF file doesn't fit its tokens.")
    return types


def _special_id(metadata: dict[str, Any], name: str, count: int) -> int | None:
    key = f"tokenizer.ggml.{name}_token_id"
    token_id = metadata.get(key)
    if token_id is None:
        return None
    if type(token_id) is not int or not 0 <= token_id < count:
        raise BundleCorruptError(f"{key} of the GGUF file is {token_id!r}; it has {count} tokens.")
    return token_id


def _strings(metadata: dict[str, Any], key: str) -> list[str]:
    values = metadata.get(key)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BundleCorruptError(f"{key} of the GGUF file is missing or no list of strings.")
    return values


def _added_token(token_id: int, content: str, *, special: bool) -> dict[str, Any]:
    return {
        "id": token_id,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def _tokenizer_json(
    vocabulary: dict[str, int],
    merges: list[tuple[str, str]],
    pre_tokenizer: str,
    added_tokens: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _PRE_TOKENIZERS[pre_tokenizer]},
        "post_processor": None,
        "decoder": {**_BYTES_ONLY, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": pre_tokenizer in _WHOLE_PIECES,
            "vocab": vocabulary,
            "merges": merges,
        },
    }
