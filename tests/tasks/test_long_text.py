"""Splitting loses nothing and keeps to the limit."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.tasks.long_text import keep_end, split_text

TEXTS = st.text(st.sampled_from("ab é。.!?\"')\n\t 字"), max_size=200)


def count(text: str) -> int:
    return len(text.encode())


@given(TEXTS, st.integers(4, 40))
def test_parts_join_to_the_text(text: str, limit: int) -> None:
    assert "".join(p.text + p.separator for p in split_text(text, limit, count)) == text or not text.strip()


@given(TEXTS.map(str.strip), st.integers(4, 40))
def test_parts_keep_to_the_limit_and_are_not_empty(text: str, limit: int) -> None:
    for part in split_text(text, limit, count):
        assert part.text and count(part.text) <= limit


@pytest.mark.parametrize("filler", [" ", "\n", "\t", "\xa0", " \n\t ", '"', ".", "a", '." ', "”\n"])
def test_splitting_takes_linear_time(filler: str) -> None:
    def seconds(length: int) -> float:
        text = "Closed." + filler * (length // len(filler)) + "Open."
        started = time.process_time()
        parts = split_text(text, length // 5, count)
        assert "".join(p.text + p.separator for p in parts) == text
        return time.process_time() - started

    shorter = min(seconds(25_000) for _ in range(3))
    assert seconds(200_000) < 24 * shorter + 0.1  # eight times the text; a quadratic search: 64 times


def test_a_sentence_ends_behind_its_closing_quotes() -> None:
    text = 'He said: "No." She left. 「はい。」 彼は去った。'
    assert [part.text for part in split_text(text, 18, count)] == [
        'He said: "No."', "She left.", "「はい。」", "彼は去った。",
    ]  # fmt: skip


@given(TEXTS, st.integers(1, 40))
def test_keep_end(text: str, limit: int) -> None:
    kept = keep_end(text, limit, count)
    assert text.endswith(kept) and count(kept) <= limit
    longer = text[-len(kept) - 1 :]
    assert kept == text or count(longer) > limit or text[-len(kept) - 1] == "\n"
