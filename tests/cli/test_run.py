"""The verbs on good input."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlpsuite.cli import doctor_command
from nlpsuite.export import kernels


def test_text_goes_to_stdout_and_nothing_else_does(complete) -> None:
    outcome = complete("--text", "the sea")
    assert outcome.code == 0
    assert outcome.out.endswith("\n")
    assert outcome.err == ""


def test_a_gap_may_have_its_suffix_in_a_file(complete, tmp_path) -> None:
    path = tmp_path / "suffix.py"
    path.write_text(" at sea\n")
    given = [complete("--text", "the man", "--suffix", suffix).out for suffix in (f"@{path}", " at sea\n")]
    assert given[0] == given[1]
    assert complete("--text", "the man", "--suffix", "@@property").code == 0
    missing = complete("--text", "the man", "--suffix", f"@{tmp_path / 'nothing'}")
    assert missing.code == 4 and "nothing" in missing.err
    both = complete("--text", "the man", "--line", "--block")
    assert both.code == 2 and "Choose one." in both.err
    unknown = complete("--text", "the man", "--suffix", "x", "--sentinels")
    assert unknown.code == 5 and "--sentinels" in unknown.err


def test_json_is_one_object_a_line(complete, tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("the man")
    outcome = complete(path, "--text", "the sea", "--json")
    first, second = (json.loads(line) for line in outcome.out.splitlines())
    assert (first["source"], second["source"]) == (str(path), "--text")
    assert first["task"] == "complete"
    assert first["usage"]["completion_tokens"] <= 4
    assert first["usage"]["prompt_tokens"] >= 1
    assert first["timings"]["total_seconds"] >= first["timings"]["first_token_seconds"] > 0
    assert set(first["model"]) == {"name", "precision", "fingerprint", "device"}
    assert first["plugin"]["distribution"] == "nlpsuite"


def test_standard_input_is_read_without_being_named(complete) -> None:
    piped = complete(stdin=b"the sea")
    assert piped.out == complete("--text", "the sea").out


def test_several_files_have_headers(complete, tmp_path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("the sea")
    outcome = complete(tmp_path / "a", tmp_path / "b")
    assert outcome.out.startswith(f"==> {tmp_path / 'a'} <==\n")
    assert f"\n\n==> {tmp_path / 'b'} <==\n" in outcome.out


def test_output_goes_to_the_file_alone(complete, tmp_path) -> None:
    outcome = complete("--text", "the sea", "-o", tmp_path / "out.txt")
    assert outcome.out == ""
    assert (tmp_path / "out.txt").read_text() == complete("--text", "the sea").out
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.skipif(os.name == "nt", reason="links, FIFOs and modes of POSIX")
def test_an_output_stays_what_it_is(complete, tmp_path) -> None:
    expected = complete("--text", "the sea").out
    (tmp_path / "private").write_text("old")
    (tmp_path / "private").chmod(0o600)
    (tmp_path / "link").symlink_to("private")
    for name in ("private", "link"):
        assert complete("--text", "the sea", "-o", tmp_path / name, "--overwrite").code == 0
        assert (tmp_path / "private").read_text() == expected
        assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600
    assert (tmp_path / "link").is_symlink()
    os.mkfifo(tmp_path / "fifo")
    reader = subprocess.Popen(["cat", tmp_path / "fifo"], stdout=subprocess.PIPE, text=True)
    assert complete("--text", "the sea", "-o", tmp_path / "fifo").code == 0
    assert reader.communicate(timeout=30)[0] == expected
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    (tmp_path / "null").symlink_to("/dev/null")
    for target in ("/dev/null", tmp_path / "null"):
        for flags in ((), ("--overwrite",)):
            assert complete("--text", "the sea", "-o", target, *flags).code == 0
            assert Path(target).is_char_device()


def test_sentiment_probabilities(cli, tiny_bundle, monkeypatch) -> None:
    monkeypatch.setattr("nlpsuite_sentiment._EXAMPLES", "")  # they fill the tiny model's context
    outcome = cli("run", "sentiment", "--model", tiny_bundle, "--text", "the sea", "--json")
    report = json.loads(outcome.out)
    assert report["label"] in report["probabilities"]
    assert sum(report["probabilities"].values()) == pytest.approx(1)
    assert report["finish_reason"] == "choice"


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "nlpsuite", *args]


def on_a_terminal(args: list[str], keys: bytes = b"", wait_for: bytes = b"") -> tuple[int, bytes]:
    """Run on a pseudo-terminal; type ``keys`` once ``wait_for`` has appeared."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(args[0], args, {**os.environ, "NO_COLOR": "1", "TERM": "dumb"})
    seen = b""
    pending = keys
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # Linux says so when the child has closed its end
            break
        if not chunk:
            break
        seen += chunk
        if pending and wait_for in seen:
            os.write(terminal, pending)
            pending = b""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen


@pytest.mark.parametrize("task", ["complete", "chat"])
def test_streaming_on_a_terminal_gives_the_same_text(tiny_bundle: Path, task: str) -> None:
    args = ["run", task, "--model", str(tiny_bundle), "--text", "the sea and", "--max-tokens", "24"]
    plain = subprocess.run(command(*args), capture_output=True, check=True)
    code, seen = on_a_terminal(command(*args))
    assert code == 0
    # The terminal turns \n into \r\n and shows control characters as they are.
    assert seen.replace(b"\r\n", b"\n") == plain.stdout


def test_a_dialogue(tiny_bundle: Path) -> None:
    args = ["run", "chat", "--model", str(tiny_bundle), "--max-tokens", "4"]
    code, seen = on_a_terminal(command(*args), keys=b"hello\n/clear\n/what\n/quit\n", wait_for=b"> ")
    assert code == 0
    assert b"Forgotten." in seen
    assert b"There is no command /what." in seen
    assert b"Traceback" not in seen


def test_ctrl_d_ends_a_dialogue(tiny_bundle: Path) -> None:
    args = ["run", "chat", "--model", str(tiny_bundle), "--max-tokens", "4"]
    assert on_a_terminal(command(*args), keys=b"\x04", wait_for=b"> ")[0] == 0


def test_ctrl_c_exits_with_130(tiny_bundle: Path) -> None:
    texts = ["--text", "the sea"] * 400
    args = ["run", "complete", "--model", str(tiny_bundle), "--max-tokens", "200", "--json", *texts]
    process = subprocess.Popen(command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # it is at work
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in errors


def test_list_names_the_bundled_tasks(cli) -> None:
    rows = json.loads(cli("list", "--json").out)
    assert {row["task"] for row in rows} >= {"summarize", "sentiment", "translate", "complete", "chat"}
    assert all(row["summary"].endswith((".", ")")) for row in rows)
    assert "Summarize a text" in cli("list").out


def test_translate_says_which_languages_it_knows(cli) -> None:
    [row] = [row for row in json.loads(cli("list", "--json").out) if row["task"] == "translate"]
    assert "German, French or Spanish" in row["summary"]


def test_help_shows_a_tasks_options(cli) -> None:
    outcome = cli("run", "summarize", "--help")
    assert outcome.code == 0
    assert "--length [short|medium|long]" in outcome.out
    assert "[default: medium]" in outcome.out


def test_doctor(cli) -> None:
    outcome = cli("doctor", "--json")
    assert outcome.code == 0
    subjects = {row["subject"]: row for row in json.loads(outcome.out)}
    assert {"nlpsuite", "onnxruntime", "GPU", "cache", "model", "suits", "task"} <= set(subjects)
    assert "nlpsuite pull" in subjects["suits"]["advice"]


def test_doctor_finds_an_unwritable_cache(cli, monkeypatch, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NLPSUITE_CACHE", str(tmp_path / "file" / "cache"))
    outcome = cli("doctor")
    assert outcome.code == 6
    assert "set NLPSUITE_CACHE" in outcome.out


def test_doctor_reports_what_is_missing(cli, monkeypatch) -> None:
    """Something that isn't installed must not end the command that finds such things."""
    version = doctor_command.metadata.version

    def without_onnx(name: str) -> str:
        if name == "onnx":
            raise doctor_command.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(doctor_command.metadata, "version", without_onnx)
    kernels._int8_kernels.cache_clear()
    outcome = cli("doctor", "--json")
    subjects = {row["subject"]: row["state"] for row in json.loads(outcome.out)}
    assert outcome.code == 6
    assert subjects["onnx"] == "broken: missing"
    assert subjects["CPU"] == f"{os.cpu_count()} cores"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(cli, shell: str) -> None:
    script = cli("completion", shell).out
    assert "_NLPSUITE_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_completion_offers_tasks() -> None:
    environment = {
        **os.environ,
        "_NLPSUITE_COMPLETE": "bash_complete",
        "COMP_WORDS": "nlpsuite run su",
        "COMP_CWORD": "2",
    }
    code = "from nlpsuite.cli import main; main()"
    started = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv[0] = 'nlpsuite'; {code}"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "summarize" in result.stdout
    assert time.perf_counter() - started < 5


def test_models_of_an_empty_cache(cli, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("NLPSUITE_CACHE", str(tmp_path))
    outcome = cli("models")
    assert outcome.out == ""
    assert "nlpsuite pull" in outcome.err
    assert json.loads(cli("models", "--json").out) == []
    assert cli("models", "rm", "nonesuch").code == 5
