"""``nlpsuite prompts``, ``--prompt-file`` and ``--shots``."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nlpsuite.runtime.tokenizer import Tokenizer

CHATML = "<|im_start|>user\nOn: the sea<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture
def prompt_file(tmp_path: Path) -> Path:
    path = tmp_path / "on.txt"
    path.write_text("On: {text}\n")
    return path


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    path = tmp_path / "films.jsonl"
    path.write_text('{"sentence": "A joy.", "label": 1}\n{"sentence": "Dull.", "label": 0}\n')
    return path


@pytest.fixture
def show(cli, tiny_bundle):
    return lambda task, *args, **kwargs: cli("prompts", "show", task, "--model", tiny_bundle, *args, **kwargs)


def test_the_text_goes_to_stdout_and_the_rest_to_stderr(show, prompt_file) -> None:
    outcome = show("summarize", "--text", "the sea", "--prompt-file", prompt_file, "--style", "bullets")
    assert outcome.code == 0
    assert outcome.out == CHATML + "-\n"
    assert "at most 140 tokens, ending with a sentence after 45" in outcome.err
    assert 'the answer begins with "-"' in outcome.err
    assert "greedy, repetition_penalty 1.05, copy_bias 3.0" in outcome.err


@pytest.mark.parametrize("task", ["chat", "sentiment", "complete"])
def test_it_is_what_run_sends(show, tiny_bundle, monkeypatch, task: str) -> None:
    import nlpsuite

    monkeypatch.setattr("nlpsuite_sentiment._EXAMPLES", "")  # they fill the tiny model's context
    options = {} if task == "sentiment" else {"max_tokens": 4}
    flags = [] if task == "sentiment" else ["--max-tokens", "4"]
    seen: list[list[int]] = []
    encode = Tokenizer.encode_prompt

    def spy(self, prompt):
        seen.append(encode(self, prompt))
        return seen[-1]

    pipeline = nlpsuite.load(task, model=str(tiny_bundle), **options)
    monkeypatch.setattr(Tokenizer, "encode_prompt", spy)
    text = "the <|im_end|> sea"
    result = pipeline.run(nlpsuite.Record(text))
    [row] = [json.loads(line) for line in show(task, "--text", text, "--json", *flags).out.splitlines()]
    assert row["token_ids"] in seen
    assert row["prompt_tokens"] == len(row["token_ids"])
    assert task == "sentiment" or row["prompt_tokens"] == result.prompt_tokens
    assert text in row["text"]


def test_without_input_the_frame_is_shown(show) -> None:
    outcome = show("sentiment", "--no-examples")
    assert outcome.out == "Review: {text}\nSentiment:\n"
    assert 'choices, scored: " positive", " negative"' in outcome.err
    assert "calibrated with 4 prompts" in outcome.err


def test_look_alikes_of_control_tokens_are_named(show) -> None:
    assert "they are sent as text" in show("complete", "--text", "a <|im_end|> b").err
    assert "they are sent as text" not in show("complete", "--text", "a b").err


def test_json(show) -> None:
    row = json.loads(show("sentiment", "--text", "the sea", "--no-examples", "--json").out)
    assert row["text"] == "Review: the sea\nSentiment:"
    assert row["choices"] == [" positive", " negative"]
    assert row["calibration"][0] == "Review: It was okay.\nSentiment:"
    assert row["max_tokens"] is None and row["sampling"] is None
    row = json.loads(show("complete", "-", "--json", stdin=b"the sea").out)
    assert row["stop"] == ["\n```"] and row["sampling"]["temperature"] == 0.0


def test_the_parts_of_a_long_text(show) -> None:
    outcome = show("translate", "--text", "The cat sat on the mat. " * 30, "--max-tokens", "9")
    assert "==> --text, part 1 of " in outcome.out and "==> --text, part 2 of " in outcome.out
    assert "translate works on" in outcome.err


def test_the_weights_are_not_loaded(tiny_bundle) -> None:
    args = ["prompts", "show", "complete", "--text", "a", "--model", str(tiny_bundle)]
    code = (
        f"import sys; from nlpsuite.cli import _run; _run({args!r}); sys.exit('onnxruntime' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "a\n")


def test_list(cli) -> None:
    out = cli("prompts", "list").out
    assert "sentiment" in out and "{text} {shots} {examples} {ask} {calibrate} {labels} {margin}" in out
    rows = {row["task"]: row for row in json.loads(cli("prompts", "list", "--json").out)}
    assert rows["chat"]["form"] == "conversation" and rows["complete"]["form"] == "text"
    assert rows["translate"]["placeholders"] == ["text", "shots", "to", "from", "plain", "pairs"]
    assert rows["sentiment"]["choices"] == [" positive", " negative"]


def test_run_reports_the_prompt_file(cli, tiny_bundle, prompt_file) -> None:
    args = ["run", "chat", "--model", tiny_bundle, "--max-tokens", "4", "--text", "the sea", "--json"]
    report = json.loads(cli(*args, "--prompt-file", prompt_file).out)
    digest = hashlib.sha256(prompt_file.read_bytes()).hexdigest()
    assert report["prompt_file"] == {"path": str(prompt_file), "sha256": digest}
    assert "prompt_file" not in json.loads(cli(*args).out)


def test_run_with_shots(cli, tiny_bundle, shots) -> None:
    args = ["run", "sentiment", "--model", tiny_bundle, "--text", "Fine.", "--json", "--shots", shots]
    report = json.loads(cli(*args).out)
    assert report["shots"]["count"] == 2 and report["shots"]["path"] == str(shots)
    assert json.loads(cli(*args, "--max-shots", "1").out)["shots"]["count"] == 1


def test_shots_are_shown(show, shots) -> None:
    assert show("sentiment", "--text", "Fine.", "--shots", shots).out == (
        "Review: A joy.\nSentiment: positive\n\nReview: Dull.\nSentiment: negative\n\n"
        "Review: Fine.\nSentiment:\n"
    )


def test_faults_have_codes(cli, show, tmp_path, prompt_file, shots) -> None:
    assert show("summarize", "--prompt-file", tmp_path / "nothing").code == 4
    prompt_file.write_text("{txt}")
    outcome = show("summarize", "--prompt-file", prompt_file)
    assert outcome.code == 4 and "has no {text}" in outcome.err
    assert show("sentiment", "--max-shots", "2").code == 2
    assert show("sentiment", "--shots", shots, "--text-column", "x").code == 2
    assert show("nonesuch").code == 2
    assert show("summarize", tmp_path / "nothing.txt").code == 4
