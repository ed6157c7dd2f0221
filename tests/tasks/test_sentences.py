"""Sentences of prose, lists, letters and other scripts, and their places in the text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.tasks.sentences import ends_as_sentence, split_sentences

TEXTS = st.text(st.sampled_from("ab A1é。.!?\"'“”()「」-\n\t 字"), max_size=80)


def found(text: str) -> list[str]:
    return [sentence.text for sentence in split_sentences(text)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["It rained.", "Did it?", "It did!", "Well… it did.", "All right..."],
        ["Dr. J. Smith of Acme Inc. met Mr. Brown vs. the U.S. Senate at 5 p.m. Monday.", "He left at 6 p.m.", "She stayed."],
        ["It costs 3.5 percent of No. 5, see Fig. 3 and Sec. 4.2.", "No.", "That is all."],
        ["We agree with Wilson et al. (2019), e.g. on Jan. 5, i.e. early.", "It ended in Jan.", "The end."],
        ["\"Are we done? I hope so,\" he said.", "“No.”", "She left (it was late. Really.) at once."],
        ["He bought a 5\" pipe.", "Then a 6\" one."],
        ["Node.js is at https://example.org/a.html now.", "Fine."],
        ["Er kam am 5. Mai.", "Das war z.B. gut.", "„Nein. Nie“, sagte er."],
        ["«Bonjour. Ça va ? » dit-il.", "Il part."],
        ["रामपुर गाँव।", "काम अगले महीने।"],
    ],
)  # fmt: skip
def test_sentences_of_a_paragraph(sentences: list[str]) -> None:
    assert found(" ".join(sentences)) == sentences


def test_scripts_without_spaces() -> None:
    assert found("他说：“你好。”然后走了。今天很好！真的吗？") == [
        "他说：“你好。”然后走了。",
        "今天很好！",
        "真的吗？",
    ]
    assert found("「行く？」と彼は言った。雨だ。") == ["「行く？」と彼は言った。", "雨だ。"]


def test_small_letters_begin_sentences_where_all_do() -> None:
    assert found("i went home. it was late... and cold. nobody was there! ok") == [
        "i went home.", "it was late... and cold.", "nobody was there!", "ok",
    ]  # fmt: skip
    assert found("The file ends in .py or .c. ") == ["The file ends in .py or .c."]
    assert found("It is approx. five. The rest is not.") == ["It is approx. five.", "The rest is not."]


LETTER = """\
Subject: Plans

Hi all,

this line was wrapped by a mail program at about seventy characters, so
that the sentence goes on. The second one does so
too, and begins with a capital Letter in the next line, which is why
Tomas calls it hard.
- first item
- second item. Two sentences.
  3) third
> quoted
## Heading
Best,
Marieke
"""


def test_lines_of_a_letter() -> None:
    sentences = split_sentences(LETTER)
    assert [(s.marker, s.text) for s in sentences] == [
        ("", "Subject: Plans"),
        ("", "Hi all,"),
        (
            "",
            "this line was wrapped by a mail program at about seventy characters, so that the sentence goes on.",
        ),
        (
            "",
            "The second one does so too, and begins with a capital Letter in the next line, which is why "
            "Tomas calls it hard.",
        ),
        ("-", "first item"),
        ("-", "second item."),
        ("", "Two sentences."),
        ("3)", "third"),
        (">", "quoted"),
        ("##", "Heading"),
        ("", "Best,"),
        ("", "Marieke"),
    ]
    assert [s.complete for s in sentences][:5] == [False, False, True, True, False]
    assert len({s.paragraph for s in sentences[5:7]}) == 1  # the sentences of one item


def test_paragraphs_of_one_line_each_stay_apart() -> None:
    text = f"A heading without a stop\n{'A long paragraph of several words. ' * 5}\nAnother heading\nEnd."
    assert found(text)[0] == "A heading without a stop" and found(text)[-2:] == ["Another heading", "End."]


@given(TEXTS)
def test_sentences_cover_the_text_in_order(text: str) -> None:
    at = 0
    for sentence in split_sentences(text):
        assert at <= sentence.start < sentence.end and not text[at : sentence.start].strip()
        assert sentence.text in " ".join(text[sentence.start : sentence.end].split())
        at = sentence.end
    bare = text[at:].strip()
    assert not bare or bare in ("-", "1.", ")")  # the marker of an empty item


@pytest.mark.parametrize(
    "filler", [" ", "\n", "(", '"', ".", '."', "。", ". ", ". A", "a\n", '." ', "“a. ” ", "- \n", "No. 1 "]
)
def test_splitting_takes_linear_time(filler: str) -> None:
    started = time.process_time()
    split_sentences("Open " + filler * (200_000 // len(filler)) + "end.")
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("text", "ends"), [("So.", True), ("“So!”", True), ("So", False), ("", False), ("好。」", True)]
)
def test_ends(text: str, ends: bool) -> None:
    assert ends_as_sentence(text) is ends
