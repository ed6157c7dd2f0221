"""``models catalog``, and ``pull`` of a catalogue's model from a stand-in hub."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_in_hub import COMMIT, StandInHub, serving
from tiny import LLAMA, write_tiny_checkpoint

from nlpsuite.models import catalog as catalog_module
from nlpsuite.models.catalog import CatalogModel, Figure, catalog

TERMS = "https://example.org/terms"


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> CatalogModel:
    """A catalogue with a tiny model in it that has terms of use and wants a token."""
    shape = {name: value for name, value in dataclasses.asdict(LLAMA).items() if name != "rope_scaling"}
    model = CatalogModel(
        "Tiny-Instruct", "hf:owner/tiny", "main", "Tiny License", LLAMA.parameter_count(), "tests", shape,
        (Figure("IFEval", 1.0, "nowhere"),), terms=TERMS, gated=True,
    )  # fmt: skip
    known = (model, *catalog())
    monkeypatch.setattr(catalog_module, "catalog", lambda: known)
    return model


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    pytest.importorskip("huggingface_hub")
    directory = write_tiny_checkpoint(tmp_path / "source")
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("NLPSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NLPSUITE_DATA", str(tmp_path / "data"))
    with serving(StandInHub("owner/tiny", files)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_the_catalogue_is_listed(cli) -> None:
    lines = cli("models", "catalog").out.splitlines()
    assert len(lines) == 1 + len(catalog())
    assert lines[0].split()[:3] == ["NAME", "WEIGHTS", "INT8"]
    rows = json.loads(cli("models", "catalog", "--json").out)
    assert [row["name"] for row in rows] == [model.name for model in catalog()]
    assert rows[0]["bytes"]["int8"] < rows[0]["bytes"]["fp32"] < rows[0]["memory_bytes"]["fp32"]


def test_one_model_in_detail(cli) -> None:
    out = cli("models", "catalog", "llama-3.2-1b-instruct").out
    assert "https://huggingface.co/meta-llama/Llama-3.2-1B-Instruct" in out
    assert "HF_TOKEN" in out and "no task's prompts" in out and "IFEval 59.5" in out
    outcome = cli("models", "catalog", "lama-3.2-1b")
    assert outcome.code == 5 and "Did you mean Llama-3.2-1B-Instruct" in outcome.err


def test_pull_asks_for_terms_and_token_and_records_the_commit(
    cli, listed: CatalogModel, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "secret"
    refused = cli("pull", "tiny-instruct")
    assert refused.code == 5 and "--accept-license" in refused.err and TERMS in refused.err
    assert hub.ranges == []  # nothing was fetched
    gated = cli("pull", "tiny-instruct", "--accept-license")
    assert gated.code == 5 and "HF_TOKEN" in gated.err
    monkeypatch.setenv("HF_TOKEN", "secret")
    done = cli("pull", "tiny-instruct")  # accepted once is enough
    assert done.code == 0, done.err
    assert f"Made from commit {COMMIT}." in done.err
    manifest = json.loads((Path(done.out.strip()) / "bundle.json").read_text())
    assert manifest["origin"]["revision"] == COMMIT
    assert manifest["origin"]["source"] == "hf:owner/tiny"
    # Both names mean the same bundle, which needs no network any more.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert cli("pull", "hf:owner/tiny").out == done.out
    assert cli("run", "complete", "--model", "Tiny-Instruct", "--max-tokens", "2", "--text", "a").code == 0


@pytest.mark.parametrize("answer, code", [("y", 0), ("n", 5)])
def test_pull_asks_on_a_terminal(
    cli, listed: CatalogModel, hub: StandInHub, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr("click.confirm", lambda *_, **__: answer == "y")
    monkeypatch.setattr("nlpsuite.cli.pull_command._on_terminal", lambda: True)
    assert cli("pull", "Tiny-Instruct").code == code


def test_an_interrupted_pull_resumes(
    cli, listed: CatalogModel, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(hub.files["model.safetensors"])
    # Larger than one chunk of the client's, so that something is written before the connection breaks.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)
    hub.break_after = [size // 2]
    outcome = cli("pull", "Tiny-Instruct", "--accept-license")
    if outcome.code:  # a client that doesn't try again by itself
        outcome = cli("pull", "Tiny-Instruct")
    assert outcome.code == 0, outcome.err
    begins = [int(found.removeprefix("bytes=").split("-")[0]) for found in hub.ranges if found]
    assert begins and 0 < begins[-1] <= size // 2
