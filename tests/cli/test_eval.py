"""``nlpsuite eval TASK`` as one types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROWS = [
    ("A fine film.", "positive", "short"),
    ("A dull film that never ends.", "negative", "long"),
    ("Lovely.", "positive", "short"),
    ("It is a bore from beginning to end.", "negative", "long"),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "films.csv"
    path.write_text("text,label,length\n" + "".join(f"{','.join(row)}\n" for row in ROWS))
    return path


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    path = tmp_path / "said.jsonl"
    said = ["positive", "negative", "negative", "negative"]
    path.write_text(
        "".join(json.dumps({"text": row[0], "output": each}) + "\n" for row, each in zip(ROWS, said))
    )
    return path


def loaded(*args: str) -> set[str]:
    """Modules that a command imports."""
    code = "import sys\nfrom nlpsuite.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def test_help_shows_tasks_and_commands(cli) -> None:
    out = cli("eval", "--help").out
    assert all(f"\n  {name} " in out for name in ("sentiment", "translate", "bias", "lm"))
    assert "--label-column" in cli("eval", "sentiment", "--help").out
    assert "Did you mean 'sentiment'?" in cli("eval", "sentimant").err


def test_help_and_completion_import_nothing_heavy() -> None:
    assert loaded("eval", "--help").isdisjoint({"numpy", "onnxruntime", "jinja2", "sacrebleu", "pyarrow"})
    env = {
        **os.environ,
        "_NLPSUITE_COMPLETE": "bash_complete",
        "COMP_WORDS": "nlpsuite eval s",
        "COMP_CWORD": "2",
    }
    code = "import sys; from nlpsuite.cli import main\ntry: main()\nfinally: print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout.split()[-1] == "False"


def test_predictions_need_no_model(data: Path, predictions: Path) -> None:
    modules = loaded("eval", "sentiment", str(data), "--predictions", predictions, "--by", "length")
    assert modules.isdisjoint({"onnxruntime", "torch", "transformers", "onnx", "tokenizers"})


def test_predictions(cli, data: Path, predictions: Path) -> None:
    outcome = cli("eval", "sentiment", data, "--predictions", predictions, "--by", "length", "--json")
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert report["figures"][0]["metric"] == "accuracy" and report["figures"][0]["value"] == 0.75
    assert {(s["value"], s["n"], s["figures"][0]["value"]) for s in report["slices"]} == {
        ("short", 2, 0.5),
        ("long", 2, 1.0),
    }
    made_of = report["provenance"]
    assert made_of["dataset"]["name"] == str(data) and len(made_of["dataset"]["sha256"]["films.csv"]) == 64
    assert (
        made_of["predictions"]["name"] == str(predictions) and made_of["plugin"]["distribution"] == "nlpsuite"
    )
    assert "accuracy" in cli("eval", "sentiment", data, "--predictions", predictions).out


def test_the_file_of_predictions_may_have_everything(cli, tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("said,gold\na b,a b\nc,d\n")
    args = (
        "eval",
        "translate",
        "--predictions",
        path,
        "--prediction-column",
        "said",
        "--reference-column",
        "gold",
    )
    outcome = cli(*args, "--metrics", "exact_match, chrf", "--json")
    assert outcome.code == 0, outcome.err
    assert [f["metric"] for f in json.loads(outcome.out)["figures"]] == ["exact_match", "chrf"]


def test_lines_of_text_are_predictions(cli, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(
        '{"text": "x", "reference": "a b"}\n{"text": "y", "reference": "c"}\n'
    )
    (tmp_path / "said.txt").write_text("a b\nno\n")
    args = ("eval", "translate", tmp_path / "data.jsonl", "--predictions", tmp_path / "said.txt", "--json")
    outcome = cli(*args, "--metrics", "exact_match")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["figures"][0]["value"] == 0.5


def test_predictions_of_other_rows_are_refused(cli, data: Path, predictions: Path) -> None:
    predictions.write_text(predictions.read_text().replace("Lovely", "Ugly"))
    outcome = cli("eval", "sentiment", data, "--predictions", predictions)
    assert outcome.code == 4 and "'text' is \"Ugly.\"" in outcome.err
    assert cli("eval", "sentiment", data, "--predictions", predictions, "--limit", "2").code == 0


def test_baselines_and_their_file(cli, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "majority.jsonl"
    args = ("eval", "sentiment", data, "--baseline", "majority", "-o", out)
    outcome = cli(*args)
    assert outcome.code == 0 and "accuracy" in outcome.out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[0]["output"] == "negative" and rows[0]["status"] == "ok" and rows[0]["length"] == "short"
    assert cli(*args).code == 7 and cli(*args, "--overwrite").code == 0
    train = tmp_path / "train.csv"
    train.write_text("text,label\nx,positive\n")
    assert cli(*args, "--overwrite", "--train", train).code == 0
    assert json.loads(out.read_text().splitlines()[0])["output"] == "positive"
    assert "makes no sense" in cli("eval", "sentiment", data, "--baseline", "lead-3").err
    assert cli("eval", "sentiment", data, "--baseline", "random", "--train", train).code == 2


def test_rows_that_failed_give_code_3(cli, data: Path, predictions: Path) -> None:
    lines = predictions.read_text().splitlines()
    lines[0] = json.dumps({"output": None, "status": "error", "error": "too long"})
    predictions.write_text("\n".join(lines) + "\n")
    outcome = cli("eval", "sentiment", data, "--predictions", predictions)
    assert outcome.code == 3 and "1 of 4 rows failed" in outcome.out and "(failed) too long" in outcome.out


def test_pages(cli, data: Path, predictions: Path, tmp_path: Path) -> None:
    args = ("eval", "sentiment", data, "--predictions", predictions)
    assert cli(*args, "--html", tmp_path / "r.html", "--markdown", tmp_path / "r.md").code == 0
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert "| accuracy | 0.750 |" in (tmp_path / "r.md").read_text()
    assert cli(*args, "--html", tmp_path / "no" / "r.html").code == 7
    assert cli(*args, "--markdown", tmp_path).code == 7


def test_a_report_without_texts_of_the_data(cli, data: Path, predictions: Path, tmp_path: Path) -> None:
    pages = ("--html", tmp_path / "r.html", "--markdown", tmp_path / "r.md")
    args = ("eval", "sentiment", data, "--predictions", predictions, "--json", *pages)
    for flags, shown in (((), True), (("--worst", "0"), False)):
        outcome = cli(*args, *flags)
        for report in (outcome.out, (tmp_path / "r.html").read_text(), (tmp_path / "r.md").read_text()):
            assert any(row[0] in report for row in ROWS) == shown


def test_wrong_usage(cli, data: Path, predictions: Path) -> None:
    assert cli("eval", "sentiment").code == 2
    assert cli("eval", "sentiment", data, "--dataset", "sst2:dev").code == 2
    assert cli("eval", "sentiment", data, "--predictions", predictions, "--baseline", "random").code == 2
    assert cli("eval", "sentiment", data.with_name("no.csv")).code == 4
    assert cli("eval", "nothing", data).code == 2
    assert cli("eval", "sentiment", data, "--predictions", predictions, "--by", "color").code == 4
    assert cli("eval", "sentiment", data, "--predictions", predictions, "--metrics", "x").code == 2


def test_execute(cli, tmp_path: Path) -> None:
    problem = {"task_id": "a/0", "prompt": "def f(a):\n", "test": "def check(f):\n    assert f(1) == 2\n",
               "entry_point": "f", "canonical_solution": "    return a + 1\n"}  # fmt: skip
    data = tmp_path / "problems.jsonl"
    data.write_text(json.dumps(problem) + "\n" + json.dumps({**problem, "task_id": "a/1"}) + "\n")
    said = tmp_path / "said.jsonl"
    said.write_text('{"output": "    return 1 + a\\n"}\n{"output": "    return a\\n"}\n')
    args = ("eval", "complete", data, "--predictions", said, "--json")
    without = json.loads(cli(*args).out)
    assert any("--execute" in note for note in without["notes"])
    found = json.loads(cli(*args, "--execute", "-o", tmp_path / "ran.jsonl").out)["figures"][0]
    assert (found["metric"], found["value"], found["n"]) == ("pass_at_k", 0.5, 2)
    ran = [json.loads(line) for line in (tmp_path / "ran.jsonl").read_text().splitlines()]
    assert [row["data"]["passed"] for row in ran] == [True, False]
    again = json.loads(cli("eval", "complete", "--predictions", tmp_path / "ran.jsonl", "--json").out)
    assert again["figures"][0]["value"] == 0.5


def evaluated(cli: Any, data: Path, bundle: Path, *more: Any) -> Any:
    args = ("eval", "sentiment", data, "--model", bundle, "--workers", "1", "--threads", "1", "--no-examples")
    return cli(*args, "--json", *more)


def test_a_model(cli, data: Path, tiny_bundle: Path, tmp_path: Path, isolated_cache: Path) -> None:
    outcome = evaluated(cli, data, tiny_bundle, "-o", tmp_path / "out.jsonl")
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert report["n"] == 4 and [f["metric"] for f in report["figures"]] == ["accuracy", "macro_f1", "ece"]
    assert len(report["provenance"]["model"]["sha256"]) == 64
    assert report["provenance"]["options"] == {"examples": False}
    # What it wrote gives the same figures without the model.
    again = json.loads(cli("eval", "sentiment", "--predictions", tmp_path / "out.jsonl", "--json").out)
    assert again["figures"] == report["figures"] and again["worst"] == report["worst"]
    assert again["provenance"]["model"]["sha256"] == report["provenance"]["model"]["sha256"]
    # Without -o nothing stays.
    unnamed = evaluated(cli, data, tiny_bundle, "--quiet")
    assert json.loads(unnamed.out)["figures"] == report["figures"]
    assert list((isolated_cache / "evaluations").iterdir()) == []


def test_standard_input(cli, data: Path, tiny_bundle: Path) -> None:
    lines = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label, _ in ROWS)
    args = ("eval", "sentiment", "-", "--model", tiny_bundle, "--workers", "1", "--threads", "1", "--json")
    outcome = cli(*args, stdin=lines.encode())
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["n"] == 4


def test_an_empty_text_is_a_row_that_failed(cli, data: Path, tiny_bundle: Path) -> None:
    data.write_text(data.read_text() + ",positive,short\n")
    outcome = evaluated(cli, data, tiny_bundle)
    assert outcome.code == 3, outcome.err
    report = json.loads(outcome.out)
    assert report["n"] == 5 and report["n_errors"] == 1 and report["worst"][0]["error"]


def test_what_was_interrupted_goes_on(
    cli, data: Path, tiny_bundle: Path, isolated_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlpsuite.batch.score import OpenJob

    real = OpenJob.run

    def interrupted(self: OpenJob) -> Any:
        real(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(OpenJob, "run", interrupted)
        stopped = evaluated(cli, data, tiny_bundle)
    assert stopped.code == 130 and "To resume, rerun the same command." in stopped.err
    assert [path.suffix for path in (isolated_cache / "evaluations").iterdir()] == [".job"]
    resumed = evaluated(cli, data, tiny_bundle)
    assert resumed.code == 0, resumed.err
    assert "4 rows" in stopped.err and "rows (" not in resumed.err  # none is scored again
    assert list((isolated_cache / "evaluations").iterdir()) == []


def test_an_interrupted_evaluation_of_other_data_starts_over(
    cli, data: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlpsuite.batch.score import OpenJob

    with monkeypatch.context() as patch:
        patch.setattr(OpenJob, "run", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        assert evaluated(cli, data, tiny_bundle).code == 130
    data.write_text(data.read_text() + "More.,positive,long\n")
    outcome = evaluated(cli, data, tiny_bundle)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["n"] == 5


def test_a_missing_reference_shows_before_anything_is_scored(
    cli, data: Path, tiny_bundle: Path, isolated_cache: Path
) -> None:
    data.write_text(data.read_text() + "No label.,,long\n")
    outcome = evaluated(cli, data, tiny_bundle)
    assert outcome.code == 4 and "films.csv:6: The reference in 'label' is empty." in outcome.err
    assert "rows (" not in outcome.err


def test_execute_with_a_model_can_be_run_again(cli, tiny_bundle: Path, tmp_path: Path) -> None:
    problem = {"task_id": "a/0", "prompt": "def f(a):\n", "test": "def check(f):\n    assert f(1) == 2\n",
               "entry_point": "f", "canonical_solution": "    return a + 1\n"}  # fmt: skip
    data = tmp_path / "problems.jsonl"
    data.write_text(json.dumps(problem) + "\n")
    args = ("eval", "complete", data, "--text-column", "prompt", "--model", tiny_bundle, "--execute",
            "--max-tokens", "4", "--workers", "1", "--json", "-o", tmp_path / "ran.jsonl")  # fmt: skip
    first, second = cli(*args), cli(*args)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert json.loads(first.out)["figures"] == json.loads(second.out)["figures"]
    [row] = [json.loads(line) for line in (tmp_path / "ran.jsonl").read_text().splitlines()]
    assert row["data"]["passed"] is False


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
@pytest.mark.parametrize("source", ["model", "predictions", "baseline"])
def test_predictions_can_be_written_to_a_named_pipe(
    source: str, cli, data: Path, predictions: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    given = {
        "model": ("--model", tiny_bundle, "--workers", "1"),
        "predictions": ("--predictions", predictions),
        "baseline": ("--baseline", "majority"),
    }
    fifo = tmp_path / "said.fifo.jsonl"
    os.mkfifo(fifo)
    reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE, text=True)
    outcome = cli("eval", "sentiment", data, *given[source], "-o", fifo)
    if outcome.code:
        reader.kill()
    written, _ = reader.communicate(timeout=60)
    assert outcome.code == 0, outcome.err
    assert [json.loads(line)["text"] for line in written.splitlines()] == [row[0] for row in ROWS]
    assert fifo.is_fifo()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_outcomes_of_programs_are_not_written_to_a_pipe(
    cli, data: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    # The job writes its result before the programs run, so the pipe would get two.
    os.mkfifo(fifo := tmp_path / "said.jsonl")
    outcome = evaluated(cli, data, tiny_bundle, "--execute", "-o", fifo)
    assert outcome.code == 2 and "--execute can't write to" in outcome.err
