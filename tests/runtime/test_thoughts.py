"""Models that think aloud: switched on by the template, hidden or shown, never part of what they read again."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st
from test_chat_template import ALWAYS, PLAIN, SWITCHED

from nlpsuite.errors import OptionError, UnsupportedModelError
from nlpsuite.runtime.prompt import Message, Prompt
from nlpsuite.runtime.text_stream import TextStream
from nlpsuite.runtime.thoughts import ThoughtFilter, without_thoughts
from nlpsuite.runtime.tokenizer import Tokenizer

ASK = (Message("user", "q"),)
SWITCH = (
    PLAIN + "{% if enable_thinking %}{% else %}<think>\n\n</think>\n\n{% endif %}"
)  # off unless it is given


def tokenizer_with(bundle: Path, template: str) -> Tokenizer:
    core = tokenizers.Tokenizer.from_file(str(bundle / "tokenizer.json"))
    return Tokenizer(core, template, {"bos_token": "<|im_start|>"})


def rendered(bundle: Path, template: str, prompt: Prompt) -> str:
    return "".join(text for text, _ in tokenizer_with(bundle, template).segments(prompt))


@pytest.mark.parametrize(
    ("template", "silent", "thinking"),
    [
        (SWITCHED, "[user]q[/][assistant]<think>\n\n</think>\n\n", "[user]q[/][assistant]"),
        (ALWAYS, "[user]q[/][assistant]<think>\n\n</think>\n\n", "[user]q[/][assistant]<think>\n"),
        (SWITCH, "[user]q[/][assistant]<think>\n\n</think>\n\n", "[user]q[/][assistant]"),
    ],
)
def test_what_the_model_reads(tiny_bundle: Path, template: str, silent: str, thinking: str) -> None:
    assert rendered(tiny_bundle, template, Prompt(messages=ASK)) == silent
    for mode in ("hide", "show"):
        assert rendered(tiny_bundle, template, Prompt(messages=ASK, thinking=mode)) == thinking


def test_a_model_that_cannot_think_says_so(tiny_bundle: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="can't think aloud") as caught:
        rendered(tiny_bundle, PLAIN, Prompt(messages=ASK, thinking="hide"))
    assert "--think" in caught.value.hint


def test_thoughts_of_earlier_answers_are_left_out(tiny_bundle: Path) -> None:
    said = (*ASK, Message("assistant", "<think>\nhm\n</think>\n\nyes"), Message("user", "<think>?"))
    assert (
        rendered(tiny_bundle, PLAIN, Prompt(messages=said))
        == "[user]q[/][assistant]yes[/][user]<think>?[/][assistant]"
    )


@pytest.mark.parametrize("others", [{"choices": ("a", "b")}, {"prefill": "a"}, {"messages": (), "text": "a"}])
def test_what_thoughts_do_not_go_with(others: dict) -> None:
    with pytest.raises(OptionError, match="thoughts"):
        Prompt(**{"messages": ASK, "thinking": "hide", **others})


def filtered(text: str, cuts: list[int], *, opened: bool, show: bool) -> str:
    taken = ThoughtFilter(opened=opened, show=show)
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    pieces = [text[a:b] for a, b in zip(places, places[1:])]
    return "".join(taken.push(piece, final=False) for piece in pieces) + taken.push("", final=True)


@pytest.mark.parametrize(
    ("text", "opened", "hidden"),
    [
        ("<think>\nhm\n</think>\n\nYes. </think>", False, "Yes. </think>"),
        ("\n<think>hm</think>Yes", False, "Yes"),
        ("hm\n</think>\n\nYes", True, "Yes"),
        ("hm, cut", True, ""),
        ("<think>hm, cut", False, ""),
        ("<thi", False, "<thi"),
        ("<thick>", False, "<thick>"),
        ("Yes <think>no</think>", False, "Yes <think>no</think>"),
        ("", False, ""),
    ],
)
@given(cuts=st.lists(st.integers(0, 60), max_size=6))
@example(cuts=list(range(60)))
def test_thoughts_are_taken_out_wherever_pieces_end(
    text: str, opened: bool, hidden: str, cuts: list[int]
) -> None:
    assert filtered(text, cuts, opened=opened, show=False) == hidden
    assert filtered(text, cuts, opened=opened, show=True) == ("<think>\n" if opened else "") + text


@given(
    answer=st.text(max_size=20).filter(lambda text: not text.strip().startswith("<")),
    thoughts=st.text(max_size=9),
)
def test_an_answer_survives_its_thoughts(answer: str, thoughts: str) -> None:
    assert without_thoughts(f"<think>{thoughts}</think>\n\n{answer}") == answer.lstrip()
    assert without_thoughts(answer) == answer


def test_a_stop_string_in_thoughts_ends_nothing() -> None:
    text = "<think>a END b</think>c END d"
    stream = TextStream(
        lambda ids: "".join(map(chr, ids)), stop=["END"], thoughts=ThoughtFilter(opened=False, show=False)
    )
    shown = "".join(stream.push(ord(character)) for character in text if not stream.stopped)
    assert shown == "c " and stream.text == "c "
