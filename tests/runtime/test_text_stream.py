"""Streaming text: whole characters, the same text as decoding at once, nothing of a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nlpsuite.runtime.prompt import Boundary, FinishReason
from nlpsuite.runtime.text_stream import TextStream, ends_sentence
from nlpsuite.runtime.tokenizer import Tokenizer


def cut(data: bytes, borders: Sequence[int]) -> list[bytes]:
    """Data cut into tokens, at any bytes."""
    at = sorted({0, len(data), *(b % (len(data) + 1) for b in borders)})
    return [data[a:b] for a, b in zip(at, at[1:])]


def stream(
    tokens: Sequence[bytes], stop: Sequence[str] = (), prefill: str = "", boundary: Boundary | None = None
) -> tuple[TextStream, list[str]]:
    """Push byte strings as tokens until the stream stops; the pieces."""

    def decode(ids: Sequence[int]) -> str:
        return b"".join(tokens[i] for i in ids).decode("utf-8", errors="replace")

    out = TextStream(decode, stop, prefill, boundary=boundary)
    pieces = []
    for i in range(len(tokens)):
        pieces.append(out.push(i))
        if out.stopped:
            break
    pieces.append(out.finish())
    return out, pieces


characters = st.text(st.sampled_from("ab. \né€語\U0001f600\u0301\x00"), max_size=25)
borders = st.lists(st.integers(0, 200), max_size=60)


@given(characters, borders)
@example("é" * 20, list(range(1, 41, 2)))  # every token ends in the middle of a character
def test_pieces_join_to_the_whole_text(text: str, borders: list[int]) -> None:
    out, pieces = stream(cut(text.encode(), borders))
    assert "".join(pieces) == text == out.text
    assert not out.stopped
    assert all("\ufffd" not in piece for piece in pieces)


@given(st.binary(max_size=40), borders)
@example(b"\xff" * 20 + "é".encode(), list(range(50)))
@example(b"\x80" * 7 + "\U0001f600é".encode(), list(range(50)))
@example(b"\xff" * 5 + "\U0001f600é".encode(), list(range(50)))  # given up on in the middle of a character
def test_bad_bytes_give_what_decoding_at_once_gives(data: bytes, borders: list[int]) -> None:
    out, pieces = stream(cut(data, borders))
    assert "".join(pieces) == data.decode("utf-8", errors="replace") == out.text


def test_long_runs_of_bad_bytes_are_not_held_for_ever() -> None:
    out, pieces = stream([b"\xff"] * 100)
    assert sum(map(bool, pieces)) >= 10
    assert out.text == "\ufffd" * 100


@given(characters, borders, st.lists(st.text(st.sampled_from("ab. \né"), min_size=1, max_size=4), max_size=3))
@example("ab. ab", [1, 2, 3, 4, 5], [". "])
@example("aab", [1, 2], ["ab"])
def test_nothing_of_a_stop_string_comes_out(text: str, borders: list[int], stop: list[str]) -> None:
    out, pieces = stream(cut(text.encode(), borders), stop)
    given_out = "".join(pieces)
    assert given_out == out.text
    found = [text.find(s) for s in stop if s in text]
    assert out.stopped == bool(found)
    if not found:
        assert given_out == text
        return
    # The text ends right where a stop string begins, and holds none itself.
    assert text.startswith(given_out)
    assert any(text.startswith(s, len(given_out)) for s in stop)
    assert not any(s in given_out for s in stop)


@given(characters, borders, st.text(st.sampled_from("ab. é"), min_size=1, max_size=4))
def test_one_stop_string_cuts_at_its_first_place(text: str, borders: list[int], stop: str) -> None:
    out, _ = stream(cut(text.encode(), borders), [stop])
    assert out.text == text.split(stop)[0]


def test_a_possible_stop_string_is_held_back_and_given_when_it_was_none() -> None:
    tokens = [b"one", b" E", b"N", b"X", b" two", b" EN"]

    def decode(ids: Sequence[int]) -> str:
        return b"".join(tokens[i] for i in ids).decode()

    out = TextStream(decode, [" END"])
    assert [out.push(i) for i in range(6)] == ["one", "", "", " ENX", " two", ""]
    assert out.text == "one ENX two"
    assert out.finish() == " EN"
    assert out.text == "one ENX two EN" and not out.stopped


def test_a_stop_string_across_tokens() -> None:
    out, pieces = stream([b"Yes.", b"\n", b"\nQ", b": more"], ["\n\nQ:"])
    assert pieces == ["Yes.", "", "", "", ""] and out.text == "Yes." and out.stopped


def test_the_rest_of_a_token_after_a_stop_string_is_dropped() -> None:
    out, pieces = stream([b"a", b"bSTOPc", b"d"], ["STOP"])
    assert pieces == ["a", "b", ""] and out.text == "ab"


def whole_words(text: str, finish: FinishReason | None) -> tuple[int, bool]:
    """Certain of words with a space behind them; ends before a full stop."""
    end = text.find(".")
    if end >= 0:
        return end, True
    return (len(text) if finish == "stop" else text.rfind(" ") + 1), False


@given(st.text(st.sampled_from("ab ."), max_size=25), borders, st.sampled_from(["", "ba", "b a"]))
def test_a_boundary_ends_the_text_and_holds_back_what_is_not_certain(
    text: str, borders: list[int], stop: str
) -> None:
    out, pieces = stream(cut(text.encode(), borders), [stop] if stop else [], "a. ", whole_words)
    before = text.split(stop)[0] if stop else text
    assert out.text == "a. " + before.split(".")[0]
    assert "".join(pieces) == out.text.removeprefix("a. ")
    assert all(piece == "" or piece.endswith(" ") for piece in pieces[:-2])


def test_what_is_not_certain_of_a_text_that_is_cut_off_is_dropped() -> None:
    out = TextStream(lambda ids: "".join("a b c"[i] for i in ids), boundary=whole_words)
    pieces = [out.push(i) for i in range(5)]
    assert pieces == ["", "a ", "", "b ", ""]
    assert out.finish("length") == "" and out.text == "a b "


def test_the_prefill_is_part_of_the_text_but_not_given_again() -> None:
    out, pieces = stream([b" is", b" it."], prefill="The answer")
    assert "".join(pieces) == " is it." and out.text == "The answer is it."


def test_an_unfinished_character_at_the_end_is_shown_as_such() -> None:
    out, pieces = stream([b"a", "€".encode()[:2]])
    assert pieces == ["a", "", "\ufffd"] and out.text == "a\ufffd"
    assert stream([])[0].text == ""


@given(text=st.text(max_size=30))
@example(text="한국어 텍스트 \U0001f469\u200d\U0001f4bb é")
def test_with_a_real_tokenizer(tiny_bundle: Path, text: str) -> None:
    tokenizer = tokenizer_of(tiny_bundle)
    out = TextStream(tokenizer.decode)
    pieces = [out.push(token) for token in tokenizer.encode_text(text)]
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in text
    assert "".join(pieces) + out.finish() == text == out.text


OPENED: dict[Path, Tokenizer] = {}


def tokenizer_of(bundle: Path) -> Tokenizer:
    if bundle not in OPENED:
        OPENED[bundle] = Tokenizer.open(bundle)
    return OPENED[bundle]


def test_a_decoder_that_looks_at_its_neighbours() -> None:
    """SentencePiece's decoder drops the first space of whatever it is given, and reads bytes by runs."""
    from tokenizers import Tokenizer as Core
    from tokenizers import decoders, models

    smile = "\U0001f600".encode()
    vocabulary = {"▁the": 0, "▁cat": 1, "s": 2, **{f"<0x{b:02X}>": 3 + i for i, b in enumerate(smile)}}
    core = Core(models.WordLevel(vocabulary, unk_token="s"))
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    ids = [0, 1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 1]
    out = TextStream(lambda part: core.decode(list(part)))
    pieces = [out.push(i) for i in ids]
    assert "".join(pieces) + out.finish() == "the cats\U0001f600\U0001f600 cat" == core.decode(ids)
    assert all("\ufffd" not in piece for piece in pieces)


@pytest.mark.parametrize("text", ["Yes.", 'He said "No!"', "(It was.)", "何？」", "好。", "Wait…", "a.’”"])
def test_sentence_ends(text: str) -> None:
    assert ends_sentence(text)


@pytest.mark.parametrize("text", ["", '"', "Yes, ", "a;", "word", "1.5", "Yes. "])
def test_no_sentence_ends(text: str) -> None:
    assert not ends_sentence(text)
