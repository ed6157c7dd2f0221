from dataclasses import dataclass
from typing import Literal

import pytest

from nlpsuite.errors import OptionError
from nlpsuite.options import GenerationOptions, make_options, option, option_specs
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
