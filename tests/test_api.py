import subprocess
import sys
from pathlib import Path

import pytest

import nlpsuite
from nlpsuite.errors import InputInvalidError, OptionError


def test_load(tiny_bundle: Path) -> None:
    pipeline = nlpsuite.load("complete", model=str(tiny_bundle), max_tokens=4)
    assert str(pipeline("a b")) == pipeline("a b").text
    with pytest.raises(InputInvalidError, match="surrogate"):
        pipeline("\udcff")


def test_a_wrong_option_does_not_wait_for_the_model() -> None:
    with pytest.raises(OptionError, match="lenght"):
        nlpsuite.load("summarize", model="/no/such/model", lenght="short")


def test_lazy_names() -> None:
    for name in nlpsuite.__all__:
        assert getattr(nlpsuite, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        nlpsuite.nothing  # noqa: B018


def test_import_is_light() -> None:
    code = "import nlpsuite, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
