"""SentencePiece's tokenizers as Hugging Face tokenizers: tokens with scores, spaces written as ▁, byte fallback.

Two algorithms share that form. BPE merges the adjacent pair whose union has the highest score, whatever the two
parts are; a ``tokenizers`` BPE model has a ranked list of pairs, so each token yields one merge for every way to
split it into two tokens, ranked by the token's score. Unigram takes the segmentation with the highest sum of
scores. Sources: Kudo & Richardson 2018 (arXiv:1808.06226); Kudo 2018 (arXiv:1804.10959); ``llm_tokenizer_spm`` of
llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, decoders, normalizers
from tokenizers.models import BPE, Unigram
from tokenizers.pre_tokenizers import PreTokenizer, Split

from nlpsuite.errors import BundleCorruptError

__all__ = ["BYTE", "CONTROL", "UNKNOWN", "UNUSED", "USER_DEFINED", "Pieces", "control_fence", "without_strip"]

# SentencePiece's types of pieces, which tokenizer.ggml.token_type has too. Text never becomes one of these by
# merging: unused pieces are reserved, and bytes only stand in for unknown characters.
UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 2, 3, 4, 5, 6
_SPACE = "▁"


@dataclass(frozen=True)
class Pieces:
    """A SentencePiece model.

    Attributes:
        tokens, scores, types: by id.
        algorithm: how a text is segmented.
        unknown: id of the token for characters that have neither a token nor byte tokens.
        space_prefix: a text is tokenized as if a space preceded it.
        single_spaces: spaces at both ends are cut off, and of several only one remains.
        charsmap: rules of normalisation, as SentencePiece compiles them; empty: none.
    """

    tokens: Sequence[str]
    scores: Sequence[float]
    types: Sequence[int]
    algorithm: Literal["bpe", "unigram"] = "bpe"
    unknown: int | None = None
    space_prefix: bool = True
    single_spaces: bool = False
    charsmap: bytes = b""

    def tokenizer(self, control: Set[int]) -> Tokenizer:
        """The tokenizer, its added tokens aside.

        The decoder keeps the space of a text's first token, since a completion continues a text.

        Args:
            control: ids that never stand for text.

        Raises:
            BundleCorruptError: the rules of normalisation are damaged.
        """
        tokenizer = Tokenizer(self._bpe(control) if self.algorithm == "bpe" else self._unigram())
        if self.algorithm == "unigram":
            silent = control | {
                i for i, type_ in enumerate(self.types) if type_ in (UNKNOWN, CONTROL, UNUSED)
            }
            if fence := control_fence((self.tokens[i] for i in silent), bytes_too=BYTE in self.types):
                tokenizer.pre_tokenizer = fence
        tokenizer.normalizer = self._normalizer()
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        )
        return tokenizer

    def _normalizer(self) -> normalizers.Normalizer:
        steps: list[normalizers.Normalizer] = []
        if self.charsmap:
            try:
                steps.append(normalizers.Precompiled(self.charsmap))
            except Exception as error:  # noqa: BLE001  (the library raises nothing more specific)
                raise BundleCorruptError(f"The tokenizer's normalisation is damaged: {error}.") from None
        if self.single_spaces:
            steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex(r"\A | \z"), "")]
        if self.space_prefix:
            steps.append(normalizers.Prepend(_SPACE))
        return normalizers.Sequence([*steps, normalizers.Replace(" ", _SPACE)])

    def _bpe(self, control: Set[int]) -> BPE:
        reserved = {UNKNOWN, CONTROL, UNUSED, BYTE}
        pieces = {
            token: i
            for i, token in enumerate(self.tokens)
            if i not in control and self.types[i] not in reserved
        }
        return BPE(
            {token: i for i, token in enumerate(self.tokens)},
            _merges(pieces, self.scores),
            unk_token=None if self.unknown is None else self.tokens[self.unknown],
            fuse_unk=True,
            byte_fallback=True,
        )

    def _unigram(self) -> Unigram:
        return Unigram(
            list(zip(self.tokens, map(float, self.scores))),
            unk_id=self.unknown,
            byte_fallback=BYTE in self.types,
        )


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


def control_fence(tokens: Iterable[str], *, bytes_too: bool) -> PreTokenizer | None:
    """A step that takes text apart that looks like these tokens, or like a byte's: a unigram model knows every token
    by its text."""
    places = [f"(?<={_quoted(t[0])})(?={_quoted(t[1:])})" for t in sorted(set(tokens)) if len(t) > 1]
    places += [r"(?<=<)(?=0x[0-9A-F]{2}>)"] * bytes_too
    return Split(Regex("|".join(places)), "isolated") if places else None


def _quoted(text: str) -> str:
    return re.sub(r"([^\w▁])", r"\\\1", text, flags=re.ASCII)


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
