from dataclasses import dataclass
from typing import Literal

import pytest

from nlpsuite.errors import OptionError
from nlpsuite.options import GenerationOptions, by_field, find_option, make_options, option, option_specs
from nlpsuite.runtime.prompt import Prompt


@dataclass(frozen=True)
class Sample(GenerationOptions):
    size: Literal["small", "large"] = option("small", "how big")


def test_own_options_come_first() -> None:
    spec = option_specs(Sample)[0]
    assert (spec.name, spec.type, spec.default, spec.choices) == ("size", str, "small", ("small", "large"))


@pytest.mark.parametrize(
    "values", [{"size": "huge"}, {"seed": "1"}, {"seed": True}, {"top_k": 1.5}, {"siez": "small"}]
)
def test_wrong_values(values: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        make_options(Sample, values)


def test_what_the_user_sets_goes_first() -> None:
    applied = make_options(Sample, {"temperature": 1, "max_tokens": 5}).apply(
        Prompt(text="a", sentence_end_after=9)
    )
    assert applied.sampling.temperature == 1.0 and applied.max_tokens == 5
    assert applied.sentence_end_after is None


@dataclass(frozen=True)
class Journey(GenerationOptions):
    from_: str = option("here", "where it begins")


def test_the_underscore_of_a_field_is_not_part_of_the_name() -> None:
    assert find_option(Journey, "from") is find_option(Journey, "from_")
    assert find_option(Journey, "from").public_name == "from"
    assert make_options(Journey, {"from": "there"}) == make_options(Journey, {"from_": "there"})
    assert by_field(Journey, {"from": 1, "seed": 2}) == {"from_": 1, "seed": 2}
    with pytest.raises(OptionError, match="from is given twice"):
        make_options(Journey, {"from": "a", "from_": "b"})
    with pytest.raises(OptionError, match="^from is 1"):
        make_options(Journey, {"from_": 1})
    with pytest.raises(OptionError, match="no option 'form'") as caught:
        make_options(Journey, {"form": "a"})
    assert caught.value.hint == "Did you mean 'from'?"
