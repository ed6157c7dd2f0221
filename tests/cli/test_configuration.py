"""``nlpsuite config``, and the order of flags, configuration and defaults."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("NLPSUITE_CONFIG", str(path))
    return path


def test_path(cli, file) -> None:
    outcome = cli("config", "path")
    assert (outcome.code, outcome.out) == (0, f"{file}\n")


def test_show_is_toml_with_the_origin_of_each_value(cli, file) -> None:
    file.write_text('[run]\nthreads = 2\n[tasks.chat]\nsystem = "Fr\\u007fench"\n')
    out = cli("config", "show").out
    assert tomllib.loads(out) == {
        "run": {"device": "auto", "threads": 2},
        "tasks": {"chat": {"system": "Fr\x7fench", "think": "off"}},
    }
    assert out.startswith(f"# {file}\n")
    assert "threads = 2  # configuration\n" in out
    assert 'device = "auto"  # default\n' in out
    assert "# model is not set\n" in out


def test_show_a_task_as_json(cli, file) -> None:
    file.write_text('[tasks.summarize]\nlength = "short"\n')
    report = json.loads(cli("config", "show", "summarize", "--json").out)
    assert report["tasks.summarize"]["length"] == {"value": "short", "from": "configuration"}
    assert report["tasks.summarize"]["style"] == {"value": "paragraph", "from": "default"}
    assert report["run"]["device"]["from"] == "default"


def test_show_without_a_file(cli, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("NLPSUITE_CONFIG")
    monkeypatch.setenv("NLPSUITE_CONFIG_DIR", str(tmp_path))
    assert "(there is no such file)" in cli("config", "show").out


def test_flags_override_the_file_and_the_file_overrides_defaults(cli, file, tiny_bundle) -> None:
    file.write_text(f'[run]\nmodel = "{tiny_bundle}"\n[tasks.complete]\nmax_tokens = 2\n')

    def tokens(*flags: str) -> int:
        outcome = cli("run", "complete", "--text", "the sea", "--json", *flags)
        assert outcome.code == 0, outcome.err
        return json.loads(outcome.out)["usage"]["completion_tokens"]

    assert tokens() == 2
    assert tokens("--max-tokens", "3") == 3
    file.write_text(f'[run]\nmodel = "{tiny_bundle}"\n')
    assert tokens() > 3


def test_run_settings_reach_the_model(cli, file, tiny_bundle) -> None:
    file.write_text('[run]\nmodel = "/no/such/model.gguf"\nprecision = "int4"\n')
    assert "/no/such/model.gguf" in cli("run", "complete", "--text", "a").err
    outcome = cli("run", "complete", "--text", "a", "--model", tiny_bundle)
    assert "precision fp32, not int4" in outcome.err
    assert cli("run", "complete", "--text", "a", "--model", tiny_bundle, "--precision", "fp32").code == 0


def test_an_error_names_file_and_key(cli, file, tiny_bundle) -> None:
    file.write_text("[tasks.complete]\nmax_token = 2\n")
    outcome = cli("run", "complete", "--text", "a", "--model", tiny_bundle)
    assert outcome.code == 2
    assert f"{file}, [tasks.complete]: There is no option 'max_token'." in outcome.err
    assert "Did you mean 'max_tokens'?" in outcome.err


def test_a_broken_file_does_not_affect_commands_without_settings(cli, file) -> None:
    file.write_text("[")
    assert cli("list").code == 0
    assert cli("run", "summarize", "--help").code == 0
    assert cli("config", "path").code == 0
    assert cli("config", "show").code == 2


def test_the_schema_has_every_option(cli) -> None:
    schema = json.loads(cli("config", "schema").out)
    properties = schema["properties"]
    assert properties["run"]["properties"]["threads"]["maximum"] == 256
    assert properties["tasks"]["properties"]["translate"]["properties"]["from"]["default"] == "English"
    assert properties["tasks"]["properties"]["summarize"]["additionalProperties"] is False
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
