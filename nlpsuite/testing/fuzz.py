"""Texts that a model might write, from plausible to absurd; the same ones every time."""

from __future__ import annotations

import random
from collections.abc import Callable

from nlpsuite.testing.findings import CheckFailed
from nlpsuite.testing.subject import ODD_TEXTS

__all__ = ["fuzz_texts", "fuzz_with_hypothesis", "score_rows"]

_FRAGMENTS = (
    *"""{ } [ ] " : , - # ``` {" null true NaN Infinity -1 1e999 0 3.14 ½ ٣ ² 100% 1/0 positive negative yes No none
    N/A Answer: <|im_end|> <|endoftext|> </s> é ß İ 日本 👍🏽 12-15 a.py:3 keywords: = | ; ( ) \\ \\u12 ' … –""".split(),
    ", ", "\n", "\n\n", " ", "- ", "* ", "1. ", "```json\n", '": ', "I am sorry, but", "Sure! Here is", "Label: ",
    "\x00", "\ufffd", "\u200b", "\ud7ff", "\r", "line 12:", "\t",
)  # fmt: skip
_TEXTS = 300
_EXAMPLES = 200  # of hypothesis


def fuzz_texts(source: str, count: int = _TEXTS) -> list[str]:
    """Texts of fragments of formats, words of ``source``, and any characters; odd ones first."""
    rng = random.Random(0)
    words = source.split()
    texts = list(ODD_TEXTS)
    while len(texts) < count:
        kind = rng.random()
        length = rng.choice((1, 2, 3, 5, 8, 13, 40))
        if kind < 0.5:
            texts.append("".join(rng.choice(_FRAGMENTS) for _ in range(length)))
        elif kind < 0.8:
            mixed = [rng.choice(words if rng.random() < 0.6 else _FRAGMENTS) for _ in range(length)]
            texts.append(rng.choice((" ", ", ", "\n", "\n- ", "")).join(mixed))
        else:
            texts.append("".join(_character(rng) for _ in range(length)))
    return texts


def _character(rng: random.Random) -> str:
    code = rng.randrange(rng.choice((0x80, 0x800, 0xD800, 0x110000)))
    return " " if 0xD800 <= code < 0xE000 else chr(code)  # a decoder gives no lone surrogates


def score_rows(choices: int) -> list[tuple[float, ...]]:
    """Log-probabilities of choices: clear, tied, extreme, and some at random."""
    rng = random.Random(0)
    rows = [tuple(0.0 if i == best else -20.0 for i in range(choices)) for best in range(choices)]
    rows += [(0.0,) * choices, (-1e5,) * choices, tuple(-1e4 * i for i in range(choices)), (-1e-9,) * choices]
    return rows + [tuple(-rng.expovariate(0.1) for _ in range(choices)) for _ in range(20)]


def fuzz_with_hypothesis(check: Callable[[str], None]) -> int:
    """Try ``check`` on texts that hypothesis makes up, if it is installed; it shortens those that fail.

    Returns:
        How many texts were tried.
    """
    try:
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import strategies as st
    except ImportError:
        return 0
    tried = 0
    plain, formats = st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.sampled_from(_FRAGMENTS))

    # The same examples every time, so nothing needs to be stored between runs.
    @settings(
        max_examples=_EXAMPLES, database=None, deadline=None, derandomize=True,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(plain | formats.map("".join))
    def attempt(text: str) -> None:
        nonlocal tried
        tried += 1
        check(text)

    try:
        attempt()
    except CheckFailed as failed:
        raise CheckFailed(failed.message, failed.where) from failed.__cause__
    return tried
