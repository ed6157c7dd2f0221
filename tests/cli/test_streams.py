"""Standard streams that are closed, full, or of an encoding without the characters of a result."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

posix = pytest.mark.skipif(os.name == "nt", reason="redirections of a POSIX shell")
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")


def shell(arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """``nlpsuite ARGUMENTS`` with the redirections among them."""
    command = f"{shlex.quote(sys.executable)} -m nlpsuite {arguments}"
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, env={**os.environ, **environment}, timeout=120
    )


def check_plain(done: subprocess.CompletedProcess[bytes], code: int, *words: str) -> None:
    """It ended with that code and those words on stderr, and not by a traceback."""
    errors = done.stderr.decode()
    assert done.returncode == code, errors
    for unwanted in ("Traceback", "Exception ignored", "bug in nlpsuite"):
        assert unwanted not in errors
    for word in words:
        assert word in errors


# A closed stream is an empty one.


@posix
@pytest.mark.parametrize("task", ["sentiment", "chat"])
def test_a_closed_stdin_is_empty(task: str) -> None:
    check_plain(shell(f"run {task} <&-"), 4, "standard input is empty")


@posix
def test_a_closed_stdin_answers_no_question(tmp_path: Path) -> None:
    (tmp_path / "plugin").mkdir()
    check_plain(shell(f"plugins install {tmp_path / 'plugin'} <&-"), 2, "--yes")


@posix
def test_a_closed_stdin_has_no_rows(tmp_path: Path) -> None:
    done = shell(f"score sentiment - --format txt -o {tmp_path / 'out.jsonl'} <&-")
    check_plain(done, 4)


@posix
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", ["list", "--help", "config show --json"])
def test_nothing_fails_for_a_closed_stream(arguments: str, closed: str) -> None:
    check_plain(shell(f"{arguments} {closed}"), 0)


@posix
def test_a_job_runs_without_stderr(tiny_bundle: Path, tmp_path: Path) -> None:
    rows, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    rows.write_text("text\nthe sea\nthe man\n")
    arguments = f"score complete {rows} -o {output} --model {tiny_bundle} --max-tokens 2 --workers 1"
    check_plain(shell(f"{arguments} 2>&-"), 0)
    assert len(output.read_text().splitlines()) >= 3


# A stdout that can't be written is an error; messages that stderr can't take are dropped.


@full
@pytest.mark.parametrize("arguments", ["list", "--help", "list --json", "config schema", "completion bash"])
def test_a_full_stdout(arguments: str) -> None:
    done = shell(f"{arguments} >/dev/full")
    check_plain(done, 7, "Can't write to standard output: No space left on device.")


@full
def test_a_full_stdout_of_run(tiny_bundle: Path) -> None:
    arguments = f"run complete --model {tiny_bundle} --max-tokens 2 --text a --text b"
    for form in ("", "--json"):
        done = shell(f"{arguments} {form} >/dev/full")
        check_plain(done, 7, "Can't write to standard output")
        assert done.stderr.count(b"Error:") == 1


@full
@pytest.mark.parametrize("arguments, code", [("list", 0), ("rnu", 2), ("run complete --text ''", 4)])
def test_a_full_stderr_changes_no_exit_code(arguments: str, code: int) -> None:
    assert shell(f"{arguments} 2>/dev/full").returncode == code


# No report is lost to an encoding.


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.jsonl"
    rows = [
        {"text": "Ein schönes Buch 本 →", "label": "positive"},
        {"text": "Плохо \U0001f622", "label": "negative"},
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@posix
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "cp932"])
def test_reports_in_any_encoding(labels: Path, encoding: str) -> None:
    evaluation = f"eval sentiment {labels} --baseline random"
    text = shell(evaluation, PYTHONIOENCODING=encoding)
    check_plain(text, 0)
    assert b"accuracy" in text.stdout
    as_json = shell(f"{evaluation} --json", PYTHONIOENCODING=encoding)
    check_plain(as_json, 0)
    utf8 = shell(f"{evaluation} --json", PYTHONIOENCODING="utf-8")
    assert json.loads(as_json.stdout.decode(encoding)) == json.loads(utf8.stdout)
    assert "本" in utf8.stdout.decode(), "escaped only where it must be"


@posix
def test_a_prompt_in_any_encoding(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("the 海 sea", encoding="utf-8")
    arguments = f"prompts show complete {tmp_path / 'text'} --model {tiny_bundle}"
    done = shell(arguments, PYTHONIOENCODING="cp1252")
    check_plain(done, 0)
    assert b"the \\u6d77 sea" in done.stdout


@posix
def test_a_result_in_any_encoding(tiny_bundle: Path, tmp_path: Path) -> None:
    name = tmp_path / "海.txt"
    name.write_text("the sea")
    arguments = f"run complete {name} --model {tiny_bundle} --max-tokens 4"
    as_json = shell(f"{arguments} --json", PYTHONIOENCODING="cp1252")
    utf8 = shell(f"{arguments} --json", PYTHONIOENCODING="utf-8")
    assert json.loads(as_json.stdout)["source"] == str(name)
    assert json.loads(as_json.stdout)["text"] == json.loads(utf8.stdout)["text"]
    check_plain(shell(f"{arguments} {name}", PYTHONIOENCODING="cp1252"), 0)


@posix
def test_an_error_in_any_encoding() -> None:
    done = shell("run complete 海.txt --json", PYTHONIOENCODING="cp1252")
    check_plain(done, 4, "\\u6d77.txt")
    assert json.loads(done.stdout)["error"]["message"] == "There is no file 海.txt."


@posix
def test_a_name_that_is_not_unicode(tiny_bundle: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    try:
        Path(os.fsdecode(name)).write_text("the sea")
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    command = [
        sys.executable,
        "-m",
        "nlpsuite",
        "run",
        "complete",
        "--model",
        str(tiny_bundle),
        "--max-tokens",
        "2",
    ]
    for more in (
        [],
        ["--json"],
        ["--json", "-o", str(tmp_path / "out.json")],
        ["-o", str(tmp_path / "out.txt")],
    ):
        done = subprocess.run([*command, name, name, *more], capture_output=True)
        check_plain(done, 0)
    source = json.loads((tmp_path / "out.json").read_text().splitlines()[0])["source"]
    assert os.fsencode(source) == name
    assert b"caf\xe9.txt <==" in (tmp_path / "out.txt").read_bytes()
