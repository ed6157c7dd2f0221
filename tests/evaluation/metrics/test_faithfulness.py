"""Numbers, names and quotations that a text has and its source doesn't."""

from __future__ import annotations

import pytest

from nlpsuite.evaluation.metrics.faithfulness import invented_names, invented_numbers, invented_quotes
from nlpsuite.tasks.result import Output

SOURCE = (
    "On 3 May, the U.S. firm Acme Robotics paid 1,200 of its 2.5 million users three dollars each. \"We are sorry, "
    'and we mean it," said Ana O\'Neil in Köln.'
)  # fmt: skip


@pytest.mark.parametrize(
    ("summary", "share"),
    [
        ("It paid 1200 users 3 dollars on May 3.", 0),
        ("It paid three dollars to some of 2,500,000 users, i.e. 2.5 million.", 0),
        ("One user got 4 dollars.", 1),
        ("Three users got 12 dollars.", 0.5),
        ("Version 1.2.3 is out.", 1),
        ("Nothing was paid.", 0),
    ],
)
def test_numbers_are_compared_by_value(summary: str, share: float) -> None:
    assert invented_numbers([summary], [SOURCE]) == pytest.approx(share)


@pytest.mark.parametrize(
    ("summary", "share"),
    [
        ("Acme Robotics of the US apologized, as Ana O'Neil said in Köln.", 0),
        ("Users were sorry. Yesterday they complained. However, Acme's users got paid.", 0),
        ("The firm from Paris paid. I saw it.", 1),
        ("Tim Cook met Acme.", 2 / 3),
        ("NASA and Acme paid.", 1 / 2),
        ("他付了钱。", 0),
    ],
)
def test_names_are_capitalized_within_a_sentence(summary: str, share: float) -> None:
    assert invented_names([summary], [SOURCE]) == pytest.approx(share)


@pytest.mark.parametrize(
    ("summary", "share"),
    [
        ("“We are sorry”, she said.", 0),
        ('"We mean it", she said.', 0),
        ('"We mean nothing", she said, "we are sorry".', 0.5),
        ("She isn't sorry.", 0),
    ],
)
def test_quotations_are_compared_word_for_word(summary: str, share: float) -> None:
    assert invented_quotes([summary], [SOURCE]) == pytest.approx(share)


def test_figures_are_of_all_outputs_together() -> None:
    rows = invented_numbers.statistics([Output("5 and 6"), Output("1,200"), Output("")], [[SOURCE]] * 3)
    assert rows.tolist() == [[2, 2], [0, 1], [0, 0]]
    assert invented_numbers.figure(rows.sum(axis=0)) == pytest.approx(2 / 3)
    assert invented_numbers.notice(rows[2]) == "invented_numbers: the outputs have no numbers."
    assert invented_numbers.notice(rows[0]) == ""
