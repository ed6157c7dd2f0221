"""Bad input: a clear error with a code of its own, or a right result; never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

import nlpsuite.errors
from nlpsuite.errors import NlpsuiteError
from nlpsuite.runtime.device import cuda_problem


def check_refused(outcome, code: int, *words: str) -> None:
    """The command failed with that code, said those words on stderr, and wrote no result."""
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


def test_missing_file(complete, tmp_path) -> None:
    check_refused(complete(tmp_path / "none.txt"), 4, "none.txt", "--text")


def test_directory(complete, tmp_path) -> None:
    check_refused(complete(tmp_path), 4, "is a directory", "*.txt")


def test_binary_file(complete, tmp_path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    check_refused(complete(path), 4, "not a text file", "offset 8")


@pytest.mark.parametrize("content", [b"", b" \n\t\n"])
def test_empty_file(complete, tmp_path, content: bytes) -> None:
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    check_refused(complete(path), 4, "is empty")
    check_refused(complete("-", stdin=content), 4, "standard input is empty")


def test_empty_text(complete) -> None:
    check_refused(complete("--text", ""), 4, "--text is empty")


def test_invalid_utf8_names_the_place_and_the_remedy(complete, tmp_path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("the café".encode("latin-1"))
    check_refused(complete(path), 4, "0xe9", "offset 7", "--encoding latin-1")
    assert complete(path, "--encoding", "latin-1").code == 0
    check_refused(complete(path, "--encoding", "klingon"), 2, "klingon", "utf-8")


def test_half_a_character_is_refused(complete, tmp_path) -> None:
    check_refused(complete("--text", "the \udc80 sea"), 4, "U+DC80", "character 4")
    path = tmp_path / "a.txt"
    path.write_text("the sea")
    check_refused(complete(path, "--encoding", "undefined"), 4, "undefined")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_understood(complete, tmp_path, encoding: str) -> None:
    path = tmp_path / "marked.txt"
    path.write_bytes("the sea".encode(encoding))
    plain = complete("--text", "the sea", "--json")
    marked = complete(path, "--json")
    assert json.loads(marked.out)["text"] == json.loads(plain.out)["text"]


def test_a_file_of_5_mb_is_read_from_its_end_by_complete(complete, tmp_path) -> None:
    path = tmp_path / "big.txt"
    path.write_text("the sea and the man. " * 240_000)
    outcome = complete(path)
    assert outcome.code == 0
    assert outcome.out.strip("\n")
    assert "5,040,000 characters" in outcome.err


def test_a_file_of_5_mb_is_refused_by_summarize_with_both_lengths(cli, tiny_bundle, tmp_path) -> None:
    path = tmp_path / "big.txt"
    path.write_text("the sea and the man. " * 240_000)
    outcome = cli("run", "summarize", "--model", tiny_bundle, "--max-tokens", "8", path)
    check_refused(outcome, 4, "tokens; summarize takes up to", "--max-parts")


def test_a_long_message_is_refused_by_chat(cli, tiny_bundle) -> None:
    outcome = cli("run", "chat", "--model", tiny_bundle, "--max-tokens", "8", "--text", "the sea " * 200)
    check_refused(outcome, 4, "chat takes 248", "Shorten")


def test_unknown_task(cli) -> None:
    check_refused(cli("run", "summarise", "x.txt"), 2, "'summarise'", "Did you mean 'summarize'?")


def test_a_task_in_place_of_a_verb(cli) -> None:
    outcome = cli("summarize", "my file.txt", "--length", "short")
    check_refused(outcome, 2, "`nlpsuite run summarize 'my file.txt' --length short`")
    check_refused(cli("summarise", "file.txt"), 2, "No such command")


def error_of(outcome) -> dict[str, str]:
    """The error that was printed on stdout; people read the same on stderr."""
    error = json.loads(outcome.out)["error"]
    assert set(error) == {"code", "message", "hint"}
    assert error["message"] in outcome.err and error["hint"] in outcome.err
    return error


def test_with_json_an_error_is_an_object(cli, tmp_path) -> None:
    for args, exit_code, code in (
        (["run", "summarise", "--json"], 2, "unknown-name"),
        (["run", "complete", "--json", "--temperature", "hot"], 2, "usage"),
        (["rnu", "--json"], 2, "usage"),
        (["run", "complete", "--json", "--text", "x", "--model", "nonesuch"], 5, "model-not-found"),
        (["run", "complete", "--json", tmp_path / "none.txt"], 4, "input-not-found"),
        (
            ["score", "complete", tmp_path / "none.csv", "-o", tmp_path / "o.csv", "--json"],
            4,
            "input-not-found",
        ),
    ):
        outcome = cli(*args)
        assert outcome.code == exit_code
        assert error_of(outcome)["code"] == code
    assert cli("run", "complete", tmp_path / "none.txt").out == ""
    assert cli("run", "complete", "--", "--json").out == "", "a file of that name"


def test_with_json_a_bug_is_an_object(cli, monkeypatch) -> None:
    monkeypatch.setattr("nlpsuite.cli.list_command.installed_tasks", lambda: 1 / 0)
    outcome = cli("list", "--json")
    assert (outcome.code, error_of(outcome)["code"]) == (1, "internal")


def test_with_json_each_input_has_a_line(complete, tmp_path) -> None:
    outcome = complete(tmp_path / "none.txt", "--text", "the sea", "--json")
    failed, done = (json.loads(line) for line in outcome.out.splitlines())
    assert (outcome.code, failed["error"]["code"]) == (4, "input-not-found")
    assert (failed["task"], failed["source"]) == ("complete", str(tmp_path / "none.txt"))
    assert done["source"] == "--text" and "error" not in done


def error_classes(base: type[NlpsuiteError] = NlpsuiteError) -> list[type[NlpsuiteError]]:
    return [base, *(below for cls in base.__subclasses__() for below in error_classes(cls))]


def test_codes_are_distinct_and_exit_codes_few() -> None:
    classes = [cls for cls in error_classes() if cls.__module__ == "nlpsuite.errors"]
    codes = [cls.code for cls in classes]
    assert len(codes) == len(set(codes)) > 20
    assert {cls.exit_code for cls in classes} <= set(range(1, 8))
    assert {cls.__name__ for cls in classes} == set(nlpsuite.errors.__all__)


def test_unknown_verb_and_option(cli) -> None:
    check_refused(cli("rnu"), 2, "No such command 'rnu'", "Did you mean 'run'?")
    check_refused(cli("run", "summarize", "--lenght", "short"), 2, "--length")
    check_refused(cli("run", "summarize", "--length", "endless", "--text", "x"), 2, "short")


@pytest.mark.parametrize(
    ("option", "value"), [("--temperature", "-1"), ("--top-p", "0"), ("--max-tokens", "0"), ("--seed", "-1")]
)
def test_option_out_of_range(cli, tiny_bundle, option: str, value: str) -> None:
    check_refused(cli("run", "complete", "--model", tiny_bundle, "--text", "x", option, value), 2, "must be")


def test_unknown_model(cli, tmp_path) -> None:
    check_refused(cli("run", "complete", "--model", "nonesuch", "--text", "x"), 5, "nonesuch", ".gguf")
    check_refused(cli("run", "complete", "--model", tmp_path / "no.gguf", "--text", "x"), 5, "no.gguf")


def test_nothing_cached_and_offline(cli, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("NLPSUITE_CACHE", str(tmp_path))
    monkeypatch.setenv("NLPSUITE_OFFLINE", "1")
    monkeypatch.setattr("nlpsuite.models.sources.find_packaged", lambda model: None)
    check_refused(cli("run", "complete", "--text", "x"), 5, "--model")


def test_one_flipped_byte_in_any_file_of_a_bundle(cli, tiny_bundle, tmp_path) -> None:
    files = [p.relative_to(tiny_bundle) for p in tiny_bundle.rglob("*") if p.is_file()]
    assert len(files) >= 5
    for name in files:
        if name.name == "bundle.json":
            continue
        copy = tmp_path / str(name).replace("/", "-")
        shutil.copytree(tiny_bundle, copy)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        check_refused(cli("run", "complete", "--model", copy, "--text", "x"), 5, "damaged", name.name)


def test_truncated_and_missing_files_of_a_bundle(cli, tiny_bundle, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_bundle, copy)
    tokenizer = copy / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes()[:-1])
    check_refused(cli("run", "complete", "--model", copy, "--text", "x"), 5, "tokenizer.json", "bytes")
    tokenizer.unlink()
    check_refused(cli("run", "complete", "--model", copy, "--text", "x"), 5, "tokenizer.json is missing")
    (copy / "bundle.json").write_text("{")
    check_refused(cli("run", "complete", "--model", copy, "--text", "x"), 5, "bundle.json")


def test_a_cache_that_cannot_be_written(cli, monkeypatch, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NLPSUITE_CACHE", str(tmp_path / "file" / "cache"))
    check_refused(cli("pull"), 7, "NLPSUITE_CACHE")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache(cli, monkeypatch, tmp_path) -> None:
    tmp_path.chmod(0o555)
    monkeypatch.setenv("NLPSUITE_CACHE", str(tmp_path))
    check_refused(cli("pull"), 7, "NLPSUITE_CACHE")


def test_cuda_asked_for_and_missing(complete) -> None:
    if cuda_problem() is None:
        pytest.skip("CUDA works here")
    check_refused(complete("--device", "cuda", "--text", "x"), 5, "CUDA can't be used", "doctor")


def test_one_bad_file_does_not_stop_the_others(complete, tmp_path) -> None:
    good = tmp_path / "good.txt"
    good.write_text("the sea")
    outcome = complete(good, tmp_path / "none.txt", good)
    assert outcome.code == 4
    assert outcome.out.count("==> ") == 2
    assert "none.txt" in outcome.err


def test_output_that_exists_or_is_the_input_is_refused(complete, tmp_path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("the sea")
    check_refused(complete(path, "-o", path), 2, "also an input")
    other = tmp_path / "out.txt"
    other.write_text("precious")
    check_refused(complete(path, "-o", other), 7, "--overwrite")
    assert other.read_text() == "precious"
    assert complete(path, "-o", other, "--overwrite").code == 0
    assert other.read_text() != "precious"
    check_refused(complete(path, "-o", tmp_path), 7, "is a directory")
    check_refused(complete(path, "-o", tmp_path / "no" / "out.txt"), 7, "no directory")


def test_standard_input_twice(complete) -> None:
    check_refused(complete("-", "-", stdin=b"x"), 2, "only once")


def test_the_reader_goes_away(tiny_bundle, tmp_path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("the sea")
    command = [sys.executable, "-m", "nlpsuite", "run", "complete", "--model", str(tiny_bundle), "--json"]
    process = subprocess.Popen([*command, *[str(path)] * 20], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0
    assert b"Traceback" not in errors and b"BrokenPipe" not in errors


def test_debug_shows_the_traceback(cli, tmp_path) -> None:
    with pytest.raises(NlpsuiteError):
        cli("--debug", "run", "nonesuch")


def test_a_bug_says_so(cli, monkeypatch) -> None:
    monkeypatch.setattr("nlpsuite.cli.list_command.installed_tasks", lambda: 1 / 0)
    check_refused(cli("list"), 1, "ZeroDivisionError", "--debug")
