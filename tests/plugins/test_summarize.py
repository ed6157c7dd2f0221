"""Summaries: sentences of the text, or generated ones held to its numbers; and texts without a summary."""

from __future__ import annotations

import pytest
from nlpsuite_summarize.candidates import find_candidates
from nlpsuite_summarize.ranking import Budget, choose

from nlpsuite import Record
from nlpsuite.errors import InputInvalidError
from nlpsuite.plugins import PromptOverride, load_task
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel

TEXT = "The ferry to the island leaves at six in the morning, since the pier was mended in the spring."
MAIL = """\
Hi all,

I hope that the summer was good to you and that nobody missed the boat.

The ferry to the island of Skarn sails again from Monday, twice a day. It leaves the harbour at 7:15 and at 16:40. \
However, cars must be reserved by telephone.

> Is the ferry back?

- bring a ticket for the ferry
- leave dogs on the lower deck

The repair of the pier cost 2.4 million crowns, and the ferry company paid most of it. Any questions?

Best,
Ingrid
"""
SENTENCES = [each.text for each in find_candidates(MAIL)]


def summary(text: str, model: EchoModel | None = None, **options: object) -> str:
    return Pipeline(load_task("summarize"), model or EchoModel(["none"]), **options)(text).text


@pytest.mark.parametrize("text", [".", "acme", "Hello there, how are you?", "👍", "42", "é è"])
def test_a_short_text_is_returned_as_it_is(text: str) -> None:
    model = EchoModel([TEXT])
    pipeline = Pipeline(load_task("summarize"), model)
    result = pipeline.run(Record(text))
    assert result.output.text == text and not model.prompts
    assert result.notices == ["The text is too short to summarize, so it is returned as it is."]
    assert "".join(pipeline.stream(text)) == text


@pytest.mark.parametrize(
    "text", ["x" * 2000, "day\tprice\n" + "2024-01-01\t3.60\n" * 20, "a7f3-9b21 " * 50, "- - - - " * 40]
)
def test_what_is_no_prose_is_refused(text: str) -> None:
    model = EchoModel([TEXT])
    with pytest.raises(InputInvalidError, match="too few words"):
        Pipeline(load_task("summarize"), model)(text)
    assert not model.prompts


def test_a_text_without_sentences_can_only_be_rewritten() -> None:
    text = "\n".join(["milk", "two eggs", "bread", "butter", "salt", "old cheese", "tea", "apples"] * 3)
    with pytest.raises(InputInvalidError, match="no sentences") as caught:
        summary(text)
    assert "--method instruct" in caught.value.hint
    assert summary(text, EchoModel(["Buy milk and eggs."]), method="instruct") == "Buy milk and eggs."


def test_prose_is_summarized_in_any_script() -> None:
    for text in (TEXT, "码头修好以后，渡船又开往小岛了，每天早上六点从港口出发，票价三元。"):
        model = EchoModel([text])
        result = Pipeline(load_task("summarize"), model).run(Record(text))
        assert result.notices == [] and result.output.text == text
        assert len(model.prompts) == 1


def test_candidates_are_sentences_and_items_without_heads_and_quoted_lines() -> None:
    assert SENTENCES == [
        "I hope that the summer was good to you and that nobody missed the boat.",
        "The ferry to the island of Skarn sails again from Monday, twice a day.",
        "It leaves the harbour at 7:15 and at 16:40.",
        "However, cars must be reserved by telephone.",
        "bring a ticket for the ferry",
        "leave dogs on the lower deck",
        "The repair of the pier cost 2.4 million crowns, and the ferry company paid most of it.",
    ]
    found = find_candidates(MAIL)
    assert [each.pleasantry for each in found] == [True] + 6 * [False]
    assert [each.dependent for each in found] == [False, False, True, False, False, False, False]
    assert [each.item for each in found] == [False] * 4 + [True] * 2 + [False]
    assert [each.opens for each in found] == [True, True, False, False, True, True, True]
    assert found[3].alone == "Cars must be reserved by telephone." and found[3].conclusive


def test_a_few_words_that_turn_a_sentence_round_stay_with_it() -> None:
    text = (
        "A novel in which nothing happens should not work. It does. The keeper of the light writes a diary."
    )
    first, second = find_candidates(text)
    assert first.text == "A novel in which nothing happens should not work. It does."
    assert second.text == "The keeper of the light writes a diary."


def test_lines_and_clauses_stand_in_for_sentences() -> None:
    lines = "ferry back from monday morning on\ntwo crossings a day at first"
    assert [each.text for each in find_candidates(lines)] == lines.split("\n")
    endless = "the ferry is back and, " * 60
    parts = [each.text for each in find_candidates(endless)]
    assert len(parts) > 5 and " ".join(parts) == endless.strip()
    assert find_candidates("") == []


@pytest.mark.parametrize(
    ("length", "style", "most"),
    [("short", "paragraph", 1), ("medium", "paragraph", 4), ("short", "bullets", 2), ("long", "bullets", 5)],
)
def test_an_extract_has_sentences_of_the_text_in_order(length: str, style: str, most: int) -> None:
    pipeline = Pipeline(load_task("summarize"), EchoModel(["none"]), length=length, style=style)
    text = pipeline(MAIL).text
    places = [MAIL.index(each.removeprefix("- ")) for each in text.split("\n")] if style == "bullets" else []
    assert places == sorted(places) and len(places) <= most
    assert all(line.startswith("- ") for line in text.split("\n")) == (style == "bullets")
    assert "".join(pipeline.stream(MAIL)) == text and "I hope" not in text
    if style == "paragraph":
        assert text.split(". ")[0].rstrip(".") + "." in MAIL


def test_the_models_score_decides_between_equals() -> None:
    text = "\n\n".join(
        f"The {animal} sleeps at home on every single day of the week." for animal in ("cat", "dog", "hen")
    )
    assert summary(text, EchoModel(["The dog sleeps at"]), length="short").startswith("The dog")
    assert summary(text, EchoModel(["The hen sleeps at"]), length="short").startswith("The hen")


def test_a_reference_brings_along_what_it_refers_to() -> None:
    candidates = find_candidates(MAIL)
    wanted = [-9.0, -9.0, 40.0, -9.0, -9.0, -9.0, -9.0]
    assert choose(candidates, wanted, Budget(2, 99)) == SENTENCES[1:3]
    assert choose(candidates, wanted, Budget(1, 99)) == SENTENCES[2:3]
    wanted = [-9.0, -9.0, -9.0, 40.0, -9.0, -9.0, -9.0]
    assert choose(candidates, wanted, Budget(1, 99)) == ["Cars must be reserved by telephone."]


def test_long_texts_are_summarized_part_by_part() -> None:
    model = EchoModel(["none"])
    text = "\n\n".join(f"The village of number {i} got a ferry in the year {1900 + i}." for i in range(900))
    result = Pipeline(load_task("summarize"), model).run(Record(text))
    assert len(model.prompts) > 5 and any("parts" in notice for notice in result.notices)
    sentences = result.output.text.split(". ")
    assert 1 < len(sentences) <= 4 and all(sentence.rstrip(".") in text for sentence in sentences)


def test_the_query_is_asked_behind_the_text() -> None:
    model = EchoModel(["none"])
    summary(MAIL, model, query="What did the pier cost?")
    assert model.prompts[0].text.endswith("\nQuestion: What did the pier cost?\nAnswer:")


@pytest.mark.parametrize("method", ["abstract", "instruct"])
@pytest.mark.parametrize("query", ["", "When?"])
def test_generated_summaries_have_the_numbers_of_the_text(method: str, query: str) -> None:
    model = EchoModel(["The ferry is back."])
    assert summary(MAIL, model, method=method, query=query) == "The ferry is back."
    [prompt] = model.prompts
    assert prompt.numbers_of is not None and "2.4" in prompt.numbers_of and not prompt.choices
    asked = prompt.text + "".join(message.content for message in prompt.messages)
    assert query in asked and MAIL.split("\n")[2] in asked
    assert bool(prompt.messages) == (method == "instruct")


def test_a_summary_that_shares_nothing_with_its_source_is_marked() -> None:
    def notices(reply: str) -> list[str]:
        return (
            Pipeline(load_task("summarize"), EchoModel([reply]), method="instruct").run(Record(TEXT)).notices
        )

    made_up = "The summary shares no word with the text: it is most likely made up."
    assert notices("Quantum zebras dance.") == [made_up]
    assert notices("Ferries leave early.") == []


def test_a_prompt_or_examples_of_the_user_generate() -> None:
    task = load_task("summarize")
    for override in (
        PromptOverride.read(task, prompt_template="A headline for this: {text}"),
        PromptOverride.read(task, shots=[(MAIL, "The ferry is back.")]),
    ):
        model = EchoModel(["Ferry back"])
        assert Pipeline(task, model, override=override)(MAIL).text == "Ferry back"
        assert not model.prompts[0].choices
    cue = PromptOverride.read(task, prompt_template="{text}\nIn short:")
    prompt = Pipeline(task, EchoModel(["none"]), override=cue, method="extract").prompt(Record(MAIL))
    assert prompt.choices and prompt.text.endswith("In short:")


def test_settings_of_generation_have_no_effect_on_extracts() -> None:
    result = Pipeline(load_task("summarize"), EchoModel(["none"]), temperature=1.0).run(Record(MAIL))
    [notice] = result.notices
    assert "temperature" in notice and "--method instruct" in notice


@pytest.mark.parametrize(
    ("reference", "wanted"),
    [
        ("The ferry sails again.", " The ferry to"),
        ("The pier repair cost 2.4 million crowns.", " The repair of"),
    ],
)
def test_training_extracts_teaches_the_sentence_closest_to_the_reference(reference: str, wanted: str) -> None:
    task = load_task("summarize")
    options = task.options(method="extract")
    target = task.target(reference, Record(MAIL), options)
    assert target.startswith(wanted) and target in task.prompt(Record(MAIL), options).choices
