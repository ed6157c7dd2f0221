"""Tokenizers that put a space in front of a text, as SentencePiece's do, and how to do without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tokenizers

__all__ = ["SpacePrefix"]


@dataclass(frozen=True)
class SpacePrefix:
    """What a tokenizer puts in front of texts.

    Attributes:
        first_only: in a conversation, in front of its first text alone, not of each after a control token.
        bare: a tokenizer that is the same otherwise.
    """

    first_only: bool
    bare: tokenizers.Tokenizer

    @classmethod
    def of(cls, core: tokenizers.Tokenizer) -> SpacePrefix | None:
        """That of ``core``; None if it puts nothing in front."""
        import tokenizers

        # Without the vocabulary, which takes long to write.
        parts = [json.loads(part.__getstate__()) for part in (core.normalizer, core.pre_tokenizer) if part]
        prefixing = [step for part in parts for step in _steps(part) if _prefixes(step)]
        if not prefixing:
            return None
        document = json.loads(core.to_str())
        for name in ("normalizer", "pre_tokenizer"):
            for step in filter(_prefixes, _steps(document[name])):
                step.update(prepend="", prepend_scheme="never", add_prefix_space=False)
        bare = tokenizers.Tokenizer.from_str(json.dumps(document))
        bare.encode_special_tokens = core.encode_special_tokens
        return cls(any(step.get("prepend_scheme") == "first" for step in prefixing), bare)


def _steps(part: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The steps of a normalizer or pre-tokenizer, as tokenizer.json has them."""
    if part:
        yield part
        for step in (*part.get("normalizers", ()), *part.get("pretokenizers", ())):
            yield from _steps(step)


def _prefixes(step: dict[str, Any]) -> bool:
    return (
        (step["type"] == "Prepend" and bool(step["prepend"]))
        or (step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never")
        or (step["type"] == "ByteLevel" and bool(step.get("add_prefix_space")))
    )
