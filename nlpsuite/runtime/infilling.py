"""How models read a text with a gap: the parts around it, marked by tokens of their own, then the gap's text.

In the order suffix, prefix, middle the middle continues the prefix as any text does: an editor that sends a longer
prefix after each key finds the rest of the prompt in the prefix cache. Bavarian et al. 2022, "Efficient Training of
Language Models to Fill in the Middle", arXiv:2207.14255, compare the orders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["LAYOUTS", "Layout", "find_layout"]


@dataclass(frozen=True)
class Layout:
    """Control tokens and the parts around the gap, in order.

    Attributes:
        pieces: a token's text, or ``prefix`` or ``suffix`` for the part that stands there.
    """

    pieces: tuple[str, ...]

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(piece for piece in self.pieces if piece not in ("prefix", "suffix"))

    @property
    def ends_with_prefix(self) -> bool:
        """Whether the prefix comes last, so that the gap's text continues it."""
        return self.pieces[-1] == "prefix"

    def segments(self, prefix: str, suffix: str) -> list[tuple[str, bool]]:
        """Pieces of text, and whether each is a control token. The last is text, possibly empty."""
        parts = {"prefix": prefix, "suffix": suffix}
        found = [(parts.get(piece, piece), piece not in parts) for piece in self.pieces]
        return found if self.ends_with_prefix else [*found, ("", False)]


LAYOUTS = (
    Layout(
        ("<|fim_prefix|>", "prefix", "<|fim_suffix|>", "suffix", "<|fim_middle|>")
    ),  # Qwen2.5-Coder, CodeGemma
    Layout(("<fim_prefix>", "prefix", "<fim_suffix>", "suffix", "<fim_middle>")),  # StarCoder
    Layout(("<fim-prefix>", "prefix", "<fim-suffix>", "suffix", "<fim-middle>")),  # SantaCoder
    # SmolLM2 has no tokens for this, but an adapter can give these two a meaning. The other spare ones won't do:
    # their embeddings, which adapters leave alone, are all but equal (cosine above 0.99).
    Layout(("<repo_name>", "suffix", "<filename>", "prefix")),
)
"""The layouts that are known, the first that a vocabulary has the tokens for being the model's."""


def find_layout(knows: Callable[[str], bool]) -> Layout | None:
    """The layout of a model; None if its vocabulary has the tokens of none.

    Args:
        knows: whether a text is one token of the vocabulary.
    """
    return next((layout for layout in LAYOUTS if all(map(knows, layout.tokens))), None)
