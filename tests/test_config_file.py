"""The configuration file: what it can set, and how its mistakes are reported."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.config import Configuration, RunOptions, read_configuration, to_toml
from nlpsuite.errors import OptionError
from nlpsuite.paths import config_path
from nlpsuite.plugins import load_task


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("NLPSUITE_CONFIG", str(path))
    return path


def summarize(configuration: Configuration) -> dict[str, object]:
    return configuration.task_options("summarize", load_task("summarize").options)


def test_sections(file: Path) -> None:
    file.write_text(
        '[run]\ndevice = "cpu"\nthreads = 2\n[tasks.summarize]\nlength = "short"\ntemperature = 1\n'
        '[tasks.translate]\nfrom = "French"\n'
    )
    configuration = read_configuration()
    assert configuration.run == {"device": "cpu", "threads": 2}
    assert summarize(configuration) == {"length": "short", "temperature": 1.0}
    assert configuration.task_options("translate", load_task("translate").options) == {"from_": "French"}
    assert configuration.task_options("chat", load_task("chat").options) == {}


def test_the_file_is_optional(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NLPSUITE_CONFIG")
    monkeypatch.setenv("NLPSUITE_CONFIG_DIR", str(tmp_path))
    assert config_path() == tmp_path / "config.toml"
    assert read_configuration() == Configuration(tmp_path / "config.toml", exists=False)
    assert list(tmp_path.iterdir()) == []


def test_a_named_file_must_exist(file: Path) -> None:
    with pytest.raises(OptionError, match="There is no configuration file"):
        read_configuration()


@pytest.mark.parametrize(
    "text, problem, hint",
    [
        ("[run]\ndevcie = 'cpu'", "[run]: There is no option 'devcie'.", "Did you mean 'device'?"),
        ("[run]\nthreads = '4'", "[run]: threads is '4', must be of type int.", "config schema"),
        ("[run]\nthreads = -1", "run.threads is -1, must be between 0 and 256.", ""),
        ("[run]\nprecision = 'int3'", "[run]: precision is 'int3', must be one of int8", "config schema"),
        ("[rnu]", "unknown section [rnu].", "Did you mean [run]?"),
        ("device = 'cpu'", "unknown section [device].", "[run]"),
        ("run = 3", "run must be a section.", "[run]"),
        ("[tasks]\nsummarize = 3", "tasks.summarize must be a section.", "[tasks.summarize]"),
        ("[tasks.sumarize]\nlength = 'short'", "[tasks.sumarize]", "Did you mean [tasks.summarize]?"),
        ("[tasks.summarize\n", "is not valid TOML", "[tasks.summarize]"),
        ("[run]\nthreads = 1\nthreads = 2", "is not valid TOML", ""),
    ],
)
def test_mistakes(file: Path, text: str, problem: str, hint: str) -> None:
    file.write_text(text)
    with pytest.raises(OptionError) as caught:
        read_configuration()
    assert str(file) in caught.value.message
    assert problem in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "line, problem, hint",
    [
        ("lenght = 'short'", "There is no option 'lenght'.", "Did you mean 'length'?"),
        ("length = 'tiny'", "length is 'tiny', must be one of short, medium, long.", "config schema"),
        ("method = 1", "method is 1, must be one of extract, abstract, instruct, free.", "config schema"),
        ("max_tokens = '9'", "max_tokens is '9', must be of type int.", "config schema"),
        ("temperature = nan", "temperature is nan, must be a finite number.", "config schema"),
        ("seed = 2026-01-01", "must be of type int", "config schema"),
    ],
)
def test_mistakes_in_the_options_of_a_task(file: Path, line: str, problem: str, hint: str) -> None:
    file.write_text(f"[tasks.summarize]\n{line}\n")
    configuration = read_configuration()
    with pytest.raises(OptionError) as caught:
        summarize(configuration)
    assert caught.value.message.startswith(f"{file}, [tasks.summarize]: ")
    assert problem in caught.value.message
    assert hint in caught.value.hint


def test_the_section_of_a_missing_plugin_is_ignored(file: Path) -> None:
    file.write_text("[tasks.keywords]\ncount = 3\n")
    assert read_configuration().tasks == {"keywords": {"count": 3}}


def test_bytes_that_are_not_text(file: Path) -> None:
    file.write_bytes(b"[run]\nmodel = '\xff'\n")
    with pytest.raises(OptionError, match="not valid TOML"):
        read_configuration()
    file.unlink()
    file.mkdir()
    with pytest.raises(OptionError, match="Can't read the configuration"):
        read_configuration()


def test_a_byte_order_mark_is_ignored(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[run]\nthreads = 1\n")
    assert read_configuration().run == {"threads": 1}


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False))
def test_values_are_written_as_they_are_read(value: object) -> None:
    read = tomllib.loads(f"value = {to_toml(value)}")["value"]
    assert read == value and type(read) is type(value)


def test_the_defaults_are_what_the_flags_say() -> None:
    assert RunOptions() == RunOptions(model=None, precision=None, device="auto", threads=0)


def test_the_example_in_the_docs(file: Path) -> None:
    docs = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text()
    file.write_text(docs.split("```toml\n")[1].split("```")[0])
    configuration = read_configuration()
    assert configuration.run["threads"] == 4
    for name in ("summarize", "translate"):
        assert configuration.task_options(name, load_task(name).options)
