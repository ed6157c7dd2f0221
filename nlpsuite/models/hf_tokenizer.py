"""The tokenizer files of a Hugging Face directory, in the form a bundle needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nlpsuite.errors import BundleCorruptError, ModelUnavailableError
from nlpsuite.models.config import ModelConfig
from nlpsuite.models.sentencepiece import without_strip
from nlpsuite.models.tokenizer_files import SpecialTokens, make_tokenizer_files

__all__ = ["DAMAGED", "read_json", "read_text", "tokenizer_files"]

DAMAGED = "The model is damaged or incomplete: download it again."
"""The hint for a directory with damaged files."""


def read_text(path: Path) -> str:
    """The UTF-8 text of a file of a model directory."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelUnavailableError(
            f"Can't read {path}: {error.strerror or error}.", hint="Check the permissions."
        ) from error
    except UnicodeDecodeError:
        raise BundleCorruptError(f"{path} is not UTF-8 text.", hint=DAMAGED) from None


def read_json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """The JSON object in a file; empty if it is optional and missing."""
    if optional and not path.exists():
        return {}
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise BundleCorruptError(f"{path} is not valid JSON.", hint=DAMAGED) from None
    if not isinstance(value, dict):
        raise BundleCorruptError(f"{path} is not a JSON object.", hint=DAMAGED)
    return value


def tokenizer_files(path: Path, config: ModelConfig) -> dict[str, str]:
    """The tokenizer files of a bundle, see ``make_tokenizer_files``, from the directory ``path``.

    Raises:
        BundleCorruptError: a file is damaged, or has ids outside the model's vocabulary.
        ModelUnavailableError: a file can't be read.
    """
    from tokenizers import Tokenizer

    text = read_text(path / "tokenizer.json")
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # noqa: BLE001  (the library raises nothing more specific)
        raise BundleCorruptError(f"{path / 'tokenizer.json'} can't be used: {error}.", hint=DAMAGED) from None
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= config.vocab_size:
        raise BundleCorruptError(
            f"{path / 'tokenizer.json'} has the token id {largest}; the model has embeddings for "
            f"{config.vocab_size} tokens.",
            hint="Tokenizer and weights are of different models: download them again.",
        )
    settings = read_json(path / "tokenizer_config.json", optional=True)
    older = read_json(path / "special_tokens_map.json", optional=True)
    declared = [read_json(path / name, optional=True) for name in ("generation_config.json", "config.json")]

    def ids_of(role: str) -> list[int]:
        token = _content(settings.get(f"{role}_token")) or _content(older.get(f"{role}_token"))
        named = tokenizer.token_to_id(token) if token is not None else None
        found = [i for source in declared for i in _ids(source.get(f"{role}_token_id"), config.vocab_size)]
        return found if named is None else [named, *found]

    bos, unk, pad = (next(iter(ids_of(role)), None) for role in ("bos", "unk", "pad"))
    document = json.loads(text)
    # A bundle's tokenizer adds, cuts and pads nothing by itself.
    document.update(post_processor=None, truncation=None, padding=None)
    document["decoder"] = without_strip(document.get("decoder"))
    control = {t["content"]: t["id"] for t in document.get("added_tokens") or [] if t.get("special")}
    return make_tokenizer_files(
        json.dumps(document, ensure_ascii=False),
        SpecialTokens(control, bos, unk, pad, ids_of("eos")),
        tokenizer.id_to_token,
        add_bos=bos is not None and tokenizer.encode("").ids[:1] == [bos],
        max_length=config.context_length,
        chat_template=_chat_template(path, settings),
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
