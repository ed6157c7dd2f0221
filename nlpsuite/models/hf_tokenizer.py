"""The tokenizer files of a Hugging Face directory, in the form a bundle needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from nlpsuite.errors import BundleCorruptError
from nlpsuite.models.config import ModelConfig
from nlpsuite.models.hf_files import DAMAGED, read_json, read_text
from nlpsuite.models.sentencepiece import (
    CONTROL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    control_fence,
    without_strip,
)
from nlpsuite.models.sentencepiece_file import FILE as SENTENCEPIECE
from nlpsuite.models.sentencepiece_file import read_sentencepiece
from nlpsuite.models.tokenizer_files import (
    SpecialTokens,
    add_tokens,
    make_tokenizer_files,
    suggested_sampling,
)

__all__ = ["has_tokenizer", "tokenizer_files"]


class _Read(NamedTuple):
    """A tokenizer, the text of its tokenizer.json, whether it adds ``bos``, and roles that only its file states."""

    tokenizer: Tokenizer
    text: str
    adds_bos: bool
    roles: Mapping[str, int]


def has_tokenizer(path: Path) -> bool:
    """Whether a directory has a tokenizer that can be read."""
    return any((path / name).is_file() for name in ("tokenizer.json", SENTENCEPIECE))


def tokenizer_files(path: Path, config: ModelConfig) -> dict[str, str]:
    """The tokenizer files of a bundle, see ``make_tokenizer_files``, from the directory ``path``.

    Raises:
        BundleCorruptError: a file is damaged, or has ids outside the model's vocabulary.
        ModelUnavailableError: a file can't be read.
    """
    settings = read_json(path / "tokenizer_config.json", optional=True)
    fast = (path / "tokenizer.json").is_file()
    read = _fast(path) if fast else _sentencepiece(path, settings, config.vocab_size)
    tokenizer = read.tokenizer
    _check_largest(path, max(tokenizer.get_vocab().values(), default=0), config.vocab_size)
    older = read_json(path / "special_tokens_map.json", optional=True)
    declared = [read_json(path / name, optional=True) for name in ("generation_config.json", "config.json")]
    declared.append({f"{role}_token_id": i for role, i in read.roles.items()})

    def ids_of(role: str) -> list[int]:
        token = _content(settings.get(f"{role}_token")) or _content(older.get(f"{role}_token"))
        named = tokenizer.token_to_id(token) if token is not None else None
        found = [i for source in declared for i in _ids(source.get(f"{role}_token_id"), config.vocab_size)]
        return found if named is None else [named, *found]

    bos, unk, pad = (next(iter(ids_of(role)), None) for role in ("bos", "unk", "pad"))
    document = json.loads(read.text)
    # A bundle's tokenizer adds, cuts and pads nothing by itself.
    document.update(post_processor=None, truncation=None, padding=None)
    document["decoder"] = without_strip(document.get("decoder"))
    control = {t["content"]: t["id"] for t in document.get("added_tokens") or [] if t.get("special")}
    if fast and document["model"].get("type") == "Unigram":
        fence = control_fence(control, bytes_too=bool(document["model"].get("byte_fallback")))
        steps = [document.get("pre_tokenizer"), fence and json.loads(fence.__getstate__())]
        document["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [step for step in steps if step]}
    return make_tokenizer_files(
        json.dumps(document, ensure_ascii=False),
        SpecialTokens(control, bos, unk, pad, ids_of("eos")),
        tokenizer.id_to_token,
        add_bos=bos is not None and (read.adds_bos or tokenizer.encode("").ids[:1] == [bos]),
        max_length=config.context_length,
        chat_template=_chat_template(path, settings),
        # Older directories have them in config.json.
        sampling=suggested_sampling({**declared[1], **declared[0]}, drawn=bool(declared[0].get("do_sample"))),
    )


def _fast(path: Path) -> _Read:
    text = read_text(path / "tokenizer.json")
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # noqa: BLE001  (the library raises nothing more specific)
        raise BundleCorruptError(f"{path / 'tokenizer.json'} can't be used: {error}.", hint=DAMAGED) from None
    return _Read(tokenizer, text, adds_bos=False, roles={})


def _sentencepiece(path: Path, settings: dict[str, Any], limit: int) -> _Read:
    """The tokenizer of a directory that has only SentencePiece's file, with the tokens that were added to it.

    Args:
        limit: size of the model's vocabulary.
    """
    file = read_sentencepiece(path / SENTENCEPIECE)
    pieces = file.pieces
    added = _added_tokens(path, settings)
    _check_largest(path, max([len(pieces.tokens) - 1, *added]), limit)
    tokens, scores, types = list(pieces.tokens), list(pieces.scores), list(pieces.types)
    for i in range(len(tokens), max(added, default=-1) + 1):
        tokens.append(f"<id {i} is unused>")
    fill = len(tokens) - len(types)
    scores, types = [*scores, *[0.0] * fill], [*types, *[UNUSED] * fill]
    for i, entry in added.items():
        tokens[i], types[i] = str(entry["content"]), CONTROL if entry.get("special") else USER_DEFINED
    if len(set(tokens)) < len(tokens):
        raise BundleCorruptError(f"{path}: a token was added twice, or is a piece already.", hint=DAMAGED)
    prefix = pieces.space_prefix and settings.get("add_prefix_space") is not False
    pieces = replace(pieces, tokens=tokens, scores=scores, types=types, space_prefix=prefix)
    control = {i for i, type_ in enumerate(types) if type_ in (UNKNOWN, CONTROL)}
    tokenizer = pieces.tokenizer(control)
    user_defined = {i for i, type_ in enumerate(types) if type_ == USER_DEFINED}
    strip_after = {i for i, entry in added.items() if entry.get("rstrip")}
    add_tokens(tokenizer, tokens, control, user_defined, strip_after=strip_after)
    adds_bos = settings.get("add_bos_token", pieces.algorithm == "bpe") is True
    return _Read(tokenizer, tokenizer.to_str(), adds_bos, file.roles)


def _added_tokens(path: Path, settings: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Entries with ``content`` and perhaps ``special`` and ``rstrip``, by id."""
    older = read_json(path / "added_tokens.json", optional=True)
    newer = settings.get("added_tokens_decoder") or {}
    try:
        found = {int(i): {"content": token} for token, i in older.items()}
        found |= {int(i): {**entry} for i, entry in newer.items()}
        if all(i >= 0 and isinstance(entry["content"], str) for i, entry in found.items()):
            return found
    except (TypeError, ValueError, KeyError, AttributeError):
        pass
    raise BundleCorruptError(f"{path}: the list of added tokens is damaged.", hint=DAMAGED)


def _check_largest(path: Path, largest: int, limit: int) -> None:
    if largest >= limit:
        raise BundleCorruptError(
            f"{path}: the tokenizer has the token id {largest}; the model has embeddings for {limit} tokens.",
            hint="Tokenizer and weights are of different models: download them again.",
        )


def _content(token: object) -> str | None:
    """A token of tokenizer_config.json, plain or as a serialised AddedToken."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _ids(value: object, vocab_size: int) -> list[int]:
    """Token ids of a config: a number, a list, or none; a negative number means none."""
    ids = []
    for i in value if isinstance(value, list) else [] if value is None else [value]:
        if type(i) is not int or i >= vocab_size:
            raise BundleCorruptError(f"Token id {i!r} of the model's configuration is not in its vocabulary.")
        if i >= 0:
            ids.append(i)
    return ids


def _chat_template(path: Path, settings: dict[str, Any]) -> str | None:
    """chat_template.jinja, or the (default) template of tokenizer_config.json."""
    if (path / "chat_template.jinja").is_file():
        return read_text(path / "chat_template.jinja")
    template = settings.get("chat_template")
    if isinstance(template, list):
        named = {item.get("name"): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None
