"""The JSON schema of options admits what ``make_options`` takes, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.errors import OptionError
from nlpsuite.options import GenerationOptions, Options, make_options, option, option_specs
from nlpsuite.plugins import installed_tasks, load_task
from nlpsuite.tasks.schema import option_schema


@dataclass(frozen=True)
class Sample(GenerationOptions):
    size: Literal["small", "large"] = option("small", "how big")
    form: Literal["round", "square"] | None = option(None, "of what form")
    name: str = option("", "as people say it")
    title: str | None = option(None, "as it is printed")
    loud: bool = option(False, "say it aloud")
    share: float = option(0.5, "of the whole")


def admits(schema: Any, value: Any) -> bool:
    """The semantics of the keywords that our schemas use."""
    kinds = schema.get("type", [])
    if not any(_is(kind, value) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, dict):
        properties = schema["properties"]
        assert schema["additionalProperties"] is False
        return all(name in properties and admits(properties[name], item) for name, item in value.items())
    return True


def _is(kind: str, value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {
        "object": isinstance(value, dict),
        "null": value is None,
        "boolean": isinstance(value, bool),
        "string": isinstance(value, str),
        "number": number,
        "integer": number and float(value).is_integer(),
    }[kind]


def takes(cls: type[Options], values: dict[str, Any]) -> bool:
    try:
        make_options(cls, values)
    except OptionError:
        return False
    return True


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = (
    st.sampled_from(["small", "large", "round", "square", True, False, None, 0, 1, 1.0, 0.5])
    | TEXTS
    | NUMBERS
    | st.lists(NUMBERS, max_size=2)
    | st.dictionaries(TEXTS, NUMBERS, max_size=1)
)
NAMES = st.sampled_from([spec.name for spec in option_specs(Sample)]) | TEXTS


@given(st.dictionaries(NAMES, VALUES, max_size=3))
def test_schema_and_make_options_agree(values: dict[str, Any]) -> None:
    assert admits(option_schema(Sample), values) == takes(Sample, values)


@given(st.sampled_from(option_specs(Sample)), VALUES)
def test_they_agree_on_each_option(spec: Any, value: Any) -> None:
    assert admits(option_schema(Sample), {spec.name: value}) == takes(Sample, {spec.name: value})


def test_what_a_schema_says() -> None:
    properties = option_schema(Sample)["properties"]
    assert properties["size"] == {
        "type": "string",
        "enum": ["small", "large"],
        "default": "small",
        "description": "how big",
    }
    assert properties["form"]["enum"] == ["round", "square", None]
    assert properties["max_tokens"]["type"] == ["integer", "null"]


@pytest.mark.parametrize("task", installed_tasks())
def test_the_defaults_of_bundled_tasks_satisfy_their_schema(task: str) -> None:
    schema = option_schema(load_task(task).options)
    assert json.loads(json.dumps(schema)) == schema
    assert admits(schema, {name: entry["default"] for name, entry in schema["properties"].items()})
    assert all(entry["description"] for entry in schema["properties"].values())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, -(10**5000)], ids="abcd")
def test_a_number_must_be_finite(value: float) -> None:
    with pytest.raises(OptionError, match="finite"):
        make_options(Sample, {"share": value})


def test_an_integer_may_be_written_as_json_allows() -> None:
    top_k = make_options(Sample, {"top_k": 3.0}).top_k
    assert top_k == 3 and type(top_k) is int
