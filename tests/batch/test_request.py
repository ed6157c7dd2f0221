"""The arguments of ``score`` and ``evaluate``: written once, checked, and shown by ``help``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import nlpsuite
from nlpsuite.batch.request import AnswerOptions, JobOptions, ScoreRequest

FIELDS = {each.name: each for each in dataclasses.fields(ScoreRequest)}


def test_every_keyword_is_a_field_of_the_request() -> None:
    assert {*get_type_hints(JobOptions), "task", "data", "output", "job"} == FIELDS.keys()


def test_every_keyword_is_documented() -> None:
    described = f"{AnswerOptions.__doc__}{JobOptions.__doc__}"
    assert [name for name in get_type_hints(JobOptions) if name not in described] == []


@pytest.mark.parametrize(
    ("function", "options"), [(nlpsuite.score, JobOptions), (nlpsuite.evaluate, AnswerOptions)]
)
def test_the_signature_shows_every_keyword_with_its_default(
    function: Callable[..., Any], options: type
) -> None:
    shown = inspect.signature(function).parameters
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in shown.values())
    for name in get_type_hints(options):
        assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY
        if FIELDS[name].default is not dataclasses.MISSING:
            assert shown[name].default == FIELDS[name].default


@pytest.mark.parametrize(
    ("function", "wrong", "meant"),
    [
        (nlpsuite.score, "limt", "limit"),
        (nlpsuite.score, "max_error", "max_errors"),
        (nlpsuite.evaluate, "limt", "limit"),
        (nlpsuite.evaluate, "refrence_column", "reference_column"),
    ],
)
def test_an_unknown_keyword_is_refused_with_the_one_that_was_meant(
    function: Callable[..., Any], wrong: str, meant: str
) -> None:
    message = (
        rf"{function.__name__}\(\) got an unexpected keyword argument '{wrong}'. Did you mean '{meant}'\?"
    )
    with pytest.raises(TypeError, match=message):
        function("sentiment", "rows.csv", **{wrong: "1"})


def test_a_keyword_of_jobs_is_none_of_evaluate() -> None:
    with pytest.raises(TypeError, match="'id_column'"):
        nlpsuite.evaluate("sentiment", "rows.csv", id_column="id")  # type: ignore[call-arg]


def test_none_stands_for_the_default_and_paths_may_be_texts() -> None:
    made = ScoreRequest.of(
        "sentiment",
        Path("rows.csv"),
        "out.csv",
        id_column=None,
        threads=None,
        max_errors=3,
        text_columns=["a"],
    )
    assert made == ScoreRequest("sentiment", "rows.csv", Path("out.csv"), max_errors="3", text_columns=("a",))
