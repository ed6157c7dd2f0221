"""Other programs run an exported bundle: those that are here agree, and one that doesn't is found out."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tiny import write_tiny_checkpoint

from nlpsuite.cli import cli
from nlpsuite.errors import ClientMismatchError, OptionError
from nlpsuite.export.clients import check as check_module
from nlpsuite.export.clients.check import check_clients, split_clients
from nlpsuite.export.clients.job import MODES, TEXTS, Choices, Job, Reference, make_job
from nlpsuite.export.clients.report import compare
from nlpsuite.runtime.bundle import MANIFEST, Bundle
from nlpsuite.tasks.export.export import export

MODULES = os.environ.get("NLPSUITE_TEST_NODE_MODULES", "")


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny-random")


@pytest.fixture(scope="module")
def bundle(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A task in two precisions."""
    target = tmp_path_factory.mktemp("clients") / "sentiment"
    return export(
        str(tiny_path), target, task="sentiment", precision="int8,int4", adapter="none", verify=False
    ).bundle


@pytest.fixture(scope="module")
def exact(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The plain model in fp32."""
    target = tmp_path_factory.mktemp("clients") / "plain"
    return export(str(tiny_path), target, precision="fp32", layout="portable", verify=False).bundle


def answered(reference: Reference) -> dict[str, object]:
    """What a client says that agrees in all."""
    return {
        "version": "1",
        "ids": [list(row) for row in reference.ids],
        "runs": {mode: [list(row) for row in reference.generated] for mode in MODES},
        "continuations": {mode: list(reference.continuations) for mode in MODES},
        "logits": {mode: [list(row) for row in reference.logits] for mode in MODES},
    }


@pytest.mark.slow
def test_onnxruntime_computes_the_same_padded_on_either_side(exact: Bundle) -> None:
    [report] = check_clients(exact, ["ort"])
    assert report.status == "same" and report.encoded == report.texts == len(TEXTS) == 20
    assert report.runs == dict.fromkeys(MODES, (20, 0))
    assert report.logit_difference < 1e-4 and report.tolerance == 0.01 and not report.labels
    assert "greedy single 20, left 20, right 20" in str(report)


@pytest.mark.slow
def test_each_precision_is_run(bundle: Bundle) -> None:
    reports = list(check_clients(bundle, ["ort"]))
    assert [report.precision for report in reports] == ["int8", "int4"]
    assert all(report.good and report.encoded == report.texts > 8 for report in reports), reports


@pytest.mark.slow
@pytest.mark.parametrize("client", ["genai", "optimum"])
def test_python_programs(exact: Bundle, client: str) -> None:
    python = os.environ.get(f"NLPSUITE_TEST_{client.upper()}_PYTHON", sys.executable)
    [report] = check_clients(exact, [f"{client}={python}"])
    if report.status == "missing":
        pytest.skip(report.detail)
    assert report.good, report


@pytest.mark.slow
@pytest.mark.parametrize("client", ["transformersjs", "browser"])
def test_javascript_programs(exact: Bundle, bundle: Bundle, client: str) -> None:
    if not MODULES:
        pytest.skip("NLPSUITE_TEST_NODE_MODULES names no node_modules with @huggingface/transformers")
    for each in (exact, bundle):
        for report in check_clients(each, [f"{client}={MODULES}"]):
            if report.status == "missing":
                pytest.skip(report.detail)
            assert report.good, report


def test_the_task_stands_around_each_text(bundle: Bundle, exact: Bundle) -> None:
    job, reference = make_job(bundle, bundle.graphs[0])
    assert all(any(text.strip() in prompt for text in TEXTS) for prompt in job.texts)
    assert 8 < len(job.texts) < 20  # those for which the tiny context has room
    assert len(reference.choices.ids) == 2 and job.dtype == "q8"
    assert any(reference.choices.calibration)
    plain, _ = make_job(exact, exact.graphs[0])
    assert plain.texts == TEXTS and plain.dtype == "fp32"


def test_what_differs_is_told_apart(exact: Bundle) -> None:
    _, reference = make_job(exact, exact.graphs[0], TEXTS[:3])
    assert compare("x", "fp32", answered(reference), reference).status == "same"

    answer = answered(reference)
    answer["ids"][1] = [1, 2]  # type: ignore[index]
    report = compare("x", "fp32", answer, reference)
    assert report.status == "tokenizer" and report.encoded == 2 and "Text 2" in report.detail
    assert report.good and report.runs == dict.fromkeys(MODES, (2, 0))
    answer["ids"] = [[9]] * 3
    assert compare("x", "fp32", answer, reference).status == "differs"

    answer = answered(reference)
    answer["runs"]["left"][2] = [*reference.generated[2][:4], 7]  # type: ignore[index]
    clear = dataclasses.replace(reference, margins=[[9.0] * 99] * 3)
    report = compare("x", "fp32", answer, clear)
    assert report.status == "differs" and "Text 3, left: another token" in report.detail
    assert report.runs == {"single": (3, 0), "left": (2, 0), "right": (3, 0)}
    close = dataclasses.replace(reference, margins=[[1e-4] * 99] * 3)
    report = compare("x", "fp32", answer, close)
    assert report.status == "near-tie" and report.margin == 1e-4
    assert report.runs == {"single": (3, 0), "left": (2, 1), "right": (3, 0)}
    assert "left 2 + 1 near tie," in str(report)

    answer = answered(reference)
    answer["continuations"]["left"][1] += "."  # type: ignore[index]
    assert compare("x", "fp32", answer, reference).status in ("tokenizer", "same")  # bytes that are no text
    readable = dataclasses.replace(reference, continuations=["one", "two", "three"])
    answer = answered(readable) | {"continuations": {mode: ["one", "t wo", "three"] for mode in MODES}}
    report = compare("x", "fp32", answer, readable)
    assert report.status == "tokenizer" and "'t wo', not as 'two'" in report.detail and report.good


@pytest.mark.parametrize("change", [0.5, -0.5, float("nan"), float("inf")])
def test_logits_that_are_off_are_no_near_tie(exact: Bundle, change: float) -> None:
    """Whatever the client's own error, nlpsuite's rounding sets the tolerance."""
    _, reference = make_job(exact, exact.graphs[0], TEXTS[:3])
    answer = answered(reference)
    answer["runs"]["right"][0] = [0, 0, 0]  # type: ignore[index]
    answer["logits"]["right"] = [list(np.array(row) + change) for row in reference.logits]  # type: ignore[index]
    report = compare("x", "fp32", answer, reference)
    assert report.status == "differs" and not report.good
    answer["runs"] = answered(reference)["runs"]
    report = compare("x", "fp32", answer, reference)
    assert report.status == "differs" and "Text 1, right: a logit is off by" in report.detail
    assert report.logit_difference == pytest.approx(abs(change)) or np.isnan(change)
    loose = dataclasses.replace(reference, tolerance=0.6)
    assert compare("x", "fp32", answer, loose).good == (abs(change) < 0.6)


def test_a_task_that_chooses_has_labels(bundle: Bundle) -> None:
    _, reference = make_job(bundle, bundle.graphs[0], TEXTS)
    answer, texts = answered(reference), len(reference.ids)
    assert compare("x", "int8", answer, reference).labels == dict.fromkeys(MODES, (texts, 0))
    calibration = [*reference.choices.calibration, *[0.0] * 8]
    answer["logits"]["left"] = [  # type: ignore[index]
        [2 * c - v for c, v in zip(calibration, row)] for row in reference.logits
    ]
    report = compare("x", "int8", answer, reference)
    assert report.labels["left"][0] == 0 and report.labels["single"] == (texts, 0)
    assert report.status == "differs"


def test_labels_are_calibrated() -> None:
    choices = Choices((5, 6, 7), (1.0, 0.0, 0.0), ((0,), (1, 2)))
    assert choices.label([2.0, 0.5, 1.0]) == (0, 0.25)
    assert choices.label([1.7, 0.5, 1.0]) == (1, pytest.approx(0.05))


def test_clients_are_named(exact: Bundle, tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="portable"):
        export(tmp_path / "nothing", tmp_path / "out", layout="slots", verify_with="ort")
    assert split_clients("ort, genai=/x/python") == {"ort": "", "genai": "/x/python"}
    with pytest.raises(OptionError, match="Unknown client 'jax'"):
        split_clients("ort,jax")
    with pytest.raises(OptionError, match="portable"):
        list(check_clients(Bundle.open(tiny_bundle), ["ort"]))
    [report] = check_clients(exact, [f"genai={tmp_path}/python"])
    assert report.status == "missing" and report.good and "not installed" in str(report)
    [report] = check_clients(exact, [f"transformersjs={tmp_path}"])
    assert report.status == "missing" and ("npm install" in report.detail or shutil.which("node") is None)


@pytest.mark.slow
def test_a_program_that_fails_is_reported(exact: Bundle, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text('#!/bin/sh\n[ "$2" = -c ] && exit 0\necho "out of luck" >&2\nexit 3\n')
    broken.chmod(0o755)
    [report] = check_clients(exact, [f"genai={broken}"])
    assert report.status == "failed" and not report.good and report.detail == "out of luck"


def test_the_command(tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["export", str(tiny_path), "--no-verify", "--precision", "fp32", "--overwrite"]
    command += ["-o", str(tmp_path / "out"), "--verify-with", "ort"]

    def wrong(place: str, job: Job) -> dict[str, object]:
        answer = answered(make_job(Bundle.open(Path(job.bundle)), Bundle.open(Path(job.bundle)).graphs[0])[1])
        answer["ids"] = [[5]] * 20
        return answer

    monkeypatch.setitem(check_module.CLIENTS, "ort", wrong)
    result = CliRunner().invoke(cli, command)
    assert isinstance(result.exception, ClientMismatchError)
    assert "ort (fp32) 1: differs" in result.exception.message
    assert (tmp_path / "out" / MANIFEST).is_file()
    result = CliRunner().invoke(cli, [*command[:-1], "jax"])
    assert isinstance(result.exception, OptionError)


def test_programs_take_nothing_from_where_they_are_run(
    exact: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokenizers.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    [report] = check_clients(exact, ["ort"])
    assert report.status == "same"
    (tmp_path / "node_modules" / "@huggingface" / "transformers").mkdir(parents=True)
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert check_module._modules("", "x") == tmp_path / "node_modules"


def test_several_precisions_need_the_portable_layout(tiny_path: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Only a portable bundle"):
        export(str(tiny_path), tmp_path / "out", precision="int8,int4")
    with pytest.raises(OptionError, match="Unknown precision 'int3'"):
        export(str(tiny_path), tmp_path / "out", precision="int8,int3", layout="portable")


def test_a_directory_for_a_hub(bundle: Bundle) -> None:
    """Names and metadata as transformers.js and the Hugging Face Hub look for them."""
    names = {path.relative_to(bundle.path).as_posix() for path in bundle.path.rglob("*")}
    assert {
        "onnx/model_quantized.onnx", "onnx/model_q4.onnx", "onnx/model_q4.onnx_data",
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "README.md", "task.json",
    } <= names  # fmt: skip
    browser = json.loads((bundle.path / "config.json").read_text())["transformers.js_config"]
    assert browser["dtype"] == "q8"
    assert browser["use_external_data_format"] == {"model_quantized.onnx": True, "model_q4.onnx": True}
    card = (bundle.path / "README.md").read_text()
    assert "\nlibrary_name: transformers.js\n" in card and "\npipeline_tag: text-generation\n" in card
    assert "| `onnx/model_q4.onnx` | int4: " in card
    assert (
        json.loads((bundle.path / "task.json").read_text())["model"]["graph"] == "onnx/model_quantized.onnx"
    )
