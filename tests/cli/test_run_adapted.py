"""``--adapter``: base and adapter become one cached bundle, which knows what it was trained for."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import write_tiny_checkpoint

import nlpsuite
from nlpsuite.errors import AdapterMismatchError, BundleCorruptError, ModelNotFoundError, OptionError
from nlpsuite.export.cache import get_bundle
from nlpsuite.models.adapter import Adapter, AdapterInfo, fingerprint, save_adapter
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.runtime.bundle import Bundle


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("base") / "tiny-random")


@pytest.fixture(scope="module")
def write(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes an adapter of the base."""
    found = fingerprint(open_checkpoint(base))

    def write(**changes: Any) -> Path:
        info: dict[str, Any] = {
            "task": "sentiment",
            "task_version": "2",
            "distribution": "nlpsuite",
            "distribution_version": "0.1.0",
            "base": "tiny-random",
            "base_fingerprint": found,
            "rank": 2,
            "alpha": 4.0,
            "options": {"examples": False, "calibrate": False},
            "evaluation": {"accuracy": 0.9, "n": 10},
        }
        draw = np.random.default_rng(0).standard_normal
        layer = "model.layers.0.mlp.up_proj"
        tensors = {
            f"{layer}.lora_A.weight": draw((2, 64), np.float32),
            f"{layer}.lora_B.weight": draw((96, 2), np.float32),
        }
        path = tmp_path_factory.mktemp("adapter") / "sentiment.safetensors"
        save_adapter(path, AdapterInfo(**{**info, **changes}), tensors)
        return path

    return write


@pytest.fixture(scope="module")
def adapter(write: Callable[..., Path]) -> Path:
    return write()


@pytest.fixture(scope="module")
def merged(base: Path, adapter: Path) -> Path:
    """The bundle of both, in the cache."""
    return build(str(base), adapter)


def build(base: str, adapter: Path) -> Path:
    with warnings.catch_warnings():  # torch's and the exporter's own
        warnings.simplefilter("ignore")
        pytest.importorskip("onnxscript")
        return get_bundle(base, precision="fp32", adapter=adapter)


def test_both_become_one_bundle(adapter: Path, merged: Path, tiny_bundle: Path) -> None:
    assert Bundle.open(tiny_bundle).adapter is None
    bundle = Bundle.open(merged)
    assert bundle.name == "tiny-random+sentiment"
    assert bundle.adapter is not None
    assert bundle.adapter | {"task": "sentiment", "base": "tiny-random"} == bundle.adapter
    assert bundle.adapter["sha256"] == Adapter.open(adapter).sha256
    assert bundle.adapter["evaluation"] == {"accuracy": 0.9, "n": 10}
    assert adapter.name in [file["name"] for file in bundle.origin["files"]]


def test_the_adapters_content_is_the_key(base: Path, adapter: Path, merged: Path, tmp_path: Path) -> None:
    shutil.copy(adapter, tmp_path / "copy")
    assert get_bundle(str(base), precision="fp32", adapter=str(tmp_path / "copy")) == merged


def test_recorded_options_are_defaults(base: Path, adapter: Path, merged: Path, tiny_bundle: Path) -> None:
    adapted = nlpsuite.load("sentiment", model=str(base), adapter=adapter, precision="fp32")
    # With its examples the prompt would not fit the tiny model's context.
    assert (adapted.options.examples, adapted.options.calibrate, adapted.notices) == (False, False, [])
    plain = nlpsuite.load("sentiment", model=str(tiny_bundle), examples=False, calibrate=False)
    assert adapted("the sea").probabilities != pytest.approx(plain("the sea").probabilities, rel=0.1)
    calibrated = nlpsuite.load("sentiment", model=str(merged), calibrate=True)
    assert (calibrated.options.examples, calibrated.options.calibrate) == (False, True)
    assert adapted("the sea", calibrate=True).probabilities == calibrated("the sea").probabilities


def test_the_command(cli, base: Path, adapter: Path, merged: Path) -> None:
    model = ["--model", base, "--adapter", adapter, "--precision", "fp32"]
    outcome = cli("run", "sentiment", *model, "--text", "the sea", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    report = json.loads(outcome.out)
    sha256 = Adapter.open(adapter).sha256
    assert report["model"]["adapter"] == {"task": "sentiment", "sha256": sha256}
    direct = json.loads(cli("run", "sentiment", "--model", merged, "--text", "the sea", "--json").out)
    assert direct["probabilities"] == report["probabilities"]
    assert direct["model"] == report["model"]


def test_another_task_gets_a_notice(cli, merged: Path) -> None:
    outcome = cli("run", "complete", "--model", merged, "--max-tokens", "2", "--text", "the sea")
    assert outcome.code == 0
    assert outcome.err == "The model was adapted to sentiment; it may be worse at complete.\n"


@pytest.fixture(scope="module")
def outdated(base: Path, write: Callable[..., Path]) -> Path:
    """The bundle of an adapter that was trained with another version of the task."""
    options = {"examples": False, "colour": "red", "calibrate": "no"}
    return build(str(base), write(task_version="0", options=options))


def test_another_version_and_options_that_are_gone_get_a_notice(outdated: Path) -> None:
    pipeline = nlpsuite.load("sentiment", model=str(outdated))
    assert "version 0 of sentiment; this is version 2" in pipeline.notices[0]
    assert "colour='red'" in pipeline.notices[1]
    assert "calibrate='no'" in pipeline.notices[2]
    assert not pipeline.options.examples
    assert pipeline.options.calibrate


def test_a_name_of_two_bundles_is_refused(merged: Path, outdated: Path) -> None:
    assert merged != outdated
    with pytest.raises(OptionError, match="names 2 bundles"):
        get_bundle("tiny-random+sentiment")
    assert get_bundle(outdated.name) == outdated


def test_what_can_not_be_merged(base: Path, adapter: Path, merged: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no adapter"):
        get_bundle(str(base), adapter=tmp_path / "none")
    for built in (str(merged), merged.name):
        with pytest.raises(OptionError, match="can only be merged into the model it was built from"):
            get_bundle(built, adapter=adapter)
    with pytest.raises(ModelNotFoundError, match="no model 'tiny-rondam'"):
        get_bundle("tiny-rondam", adapter=adapter)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(adapter.read_bytes()[:-1])
    with pytest.raises(BundleCorruptError, match="damaged"):
        get_bundle(str(base), adapter=damaged)
    other = write_tiny_checkpoint(tmp_path / "other", seed=1)
    with pytest.raises(AdapterMismatchError, match="this base is other"):
        get_bundle(str(other), adapter=adapter)


def test_a_mismatch_has_its_own_exit_code(cli, adapter: Path, tmp_path: Path) -> None:
    other = write_tiny_checkpoint(tmp_path / "other", seed=1)
    outcome = cli("run", "sentiment", "--model", other, "--adapter", adapter, "--text", "x")
    assert (outcome.code, outcome.out) == (5, "")
    assert "trained on tiny-random" in outcome.err
    assert "other" in outcome.err


def test_another_prompt_than_the_adapters_is_named(cli, merged: Path, tmp_path: Path) -> None:
    (tmp_path / "film.txt").write_text("Film: {text}\nIt was")
    outcome = cli(
        "run", "sentiment", "--model", merged, "--text", "the", "--prompt-file", tmp_path / "film.txt"
    )
    assert outcome.code == 0
    assert "adapted to the task's own prompt; with another, sentiment may do worse" in outcome.err
