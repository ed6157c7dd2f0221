"""SentencePiece's BPE as a Hugging Face tokenizer: tokens with scores, byte fallback, spaces written as ▁.

SentencePiece merges the adjacent pair whose union has the highest score, whatever the two parts are; a
``tokenizers`` BPE model has a ranked list of pairs. So each token yields one merge for every way to split
it into two tokens, ranked by the token's score. Sources: Kudo & Richardson 2018 (arXiv:1808.06226);
``llm_tokenizer_spm`` of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from tokenizers import Tokenizer, decoders, normalizers
from tokenizers.models import BPE

__all__ = ["CONTROL", "UNKNOWN", "sentencepiece_tokenizer", "without_strip"]

# Values of tokenizer.ggml.token_type, which are SentencePiece's own. Text never becomes one of these by
# merging: unused tokens are reserved, and bytes only stand in for unknown characters.
UNKNOWN, CONTROL = 2, 3
_UNUSED, _BYTE = 5, 6
_SPACE = "▁"


def sentencepiece_tokenizer(
    vocabulary: dict[str, int],
    scores: Sequence[float],
    types: Sequence[int],
    control: Set[int],
    *,
    space_prefix: bool,
    unknown: str | None,
) -> Tokenizer:
    """The tokenizer, its added tokens aside.

    The decoder keeps the space of a text's first token, since a completion continues a text.

    Args:
        vocabulary: token to id, in the order of the ids.
        scores, types: by id.
        control: ids that never stand for text.
        space_prefix: a text is tokenized as if a space preceded it.
        unknown: the token for characters that have neither a token nor byte tokens.
    """
    pieces = {
        token: i
        for token, i in vocabulary.items()
        if i not in control and types[i] not in (UNKNOWN, CONTROL, _UNUSED, _BYTE)
    }
    merges = _merges(pieces, scores)
    tokenizer = Tokenizer(BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    prefix = [normalizers.Prepend(_SPACE)] if space_prefix else []
    tokenizer.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", _SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def _merges(pieces: Mapping[str, int], scores: Sequence[float]) -> list[tuple[str, str]]:
    merges: list[tuple[str, str]] = []
    for token in pieces:
        splits = ((token[:at], token[at:]) for at in range(1, len(token)))
        known = [(left, right) for left, right in splits if left in pieces and right in pieces]
        merges += sorted(known, key=lambda pair: (pieces[pair[0]], pieces[pair[1]]))
    # Of equal scores, longer left parts go first, as in transformers.
    merges.sort(
        key=lambda pair: (scores[pieces[pair[0] + pair[1]]], len(pair[0]), len(pair[1])), reverse=True
    )
    return merges


def without_strip(decoder: Any) -> Any:
    """The decoder of a tokenizer.json, changed to keep the space of the first token."""
    if not isinstance(decoder, dict):
        return decoder
    if decoder.get("type") == "Sequence":
        steps = [without_strip(step) for step in decoder["decoders"]]
        return {**decoder, "decoders": [step for step in steps if step.get("type") != "Strip"]}
    if decoder.get("type") == "Metaspace":
        return {**decoder, "prepend_scheme": "never"}
    return decoder
