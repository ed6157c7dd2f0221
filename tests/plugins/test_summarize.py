"""Summaries of next to nothing."""

from __future__ import annotations

import pytest

from nlpsuite import Record
from nlpsuite.errors import InputInvalidError
from nlpsuite.plugins import load_task
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel

TEXT = "The ferry to the island leaves at six in the morning, since the pier was mended in the spring."


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


def test_prose_is_summarized_in_any_script() -> None:
    for text in (TEXT, "码头修好以后，渡船又开往小岛了，每天早上六点从港口出发，票价三元。"):
        model = EchoModel([text])
        assert Pipeline(load_task("summarize"), model).run(Record(text)).notices == []
        assert len(model.prompts) == 1


def test_a_summary_that_shares_nothing_with_its_source_is_marked() -> None:
    made_up = Pipeline(load_task("summarize"), EchoModel(["Quantum zebras dance."])).run(Record(TEXT))
    assert made_up.notices == ["The summary shares no word with the text: it is most likely made up."]
    true = Pipeline(load_task("summarize"), EchoModel(["Ferries leave early."])).run(Record(TEXT))
    assert true.notices == []
