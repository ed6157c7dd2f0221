"""Resuming a job: when that is refused, what is retried, and that the bytes equal those of one run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from job_help import TEXTS, Stopped, ask, interrupted, read_back, run, write_rows

from nlpsuite.batch.job import Job
from nlpsuite.batch.manage import remove_job, verify
from nlpsuite.batch.run import JobReporter
from nlpsuite.batch.score import resume, score_request
from nlpsuite.errors import (
    BundleCorruptError,
    InputInvalidError,
    InputNotFoundError,
    JobRefusedError,
    JobStorageError,
    TooManyErrorsError,
)
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.tasks.pipeline import Pipeline


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "in.csv", [{"n": i, "text": text} for i, text in enumerate(TEXTS)])


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many prompts each call of the model had."""
    counts: list[int] = []
    real = LanguageModel.stream

    def counted(self: LanguageModel, prompts: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        counts.append(len(prompts))
        return real(self, prompts, *args, **kwargs)

    monkeypatch.setattr(LanguageModel, "stream", counted)
    return counts


# The same bytes.


def test_the_bytes_do_not_depend_on_workers_threads_or_order(
    tiny_bundle: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"task": "complete", "options": {"max_tokens": 6}}
    outputs = []
    for i, more in enumerate([{}, {"threads": 2}, {"workers": 2}]):
        outputs.append(tmp_path / f"out{i}.csv")
        run(tiny_bundle, source, outputs[-1], **given, **more)
    from nlpsuite.batch import run as running

    real = running.load

    def backwards(kind: str, name: str) -> Any:
        engine = real(kind, name)
        return (lambda work, chunks: engine(work, reversed(list(chunks)))) if kind == "engine" else engine

    monkeypatch.setattr(running, "load", backwards)
    outputs.append(tmp_path / "backwards.csv")
    run(tiny_bundle, source, outputs[-1], **given)
    assert len({output.read_bytes() for output in outputs}) == 1


def test_a_job_resumes_where_it_stopped(
    tiny_bundle: Path, source: Path, tmp_path: Path, prompts: list[int]
) -> None:
    run(tiny_bundle, source, tmp_path / "whole.csv")
    whole = sum(prompts)
    prompts.clear()
    output = tmp_path / "out.csv"
    interrupted(tiny_bundle, source, output)
    report = run(tiny_bundle, source, output)
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert report.scored < report.rows
    assert whole <= sum(prompts) <= whole * 10 // 7 + 2  # the chunk that was interrupted, at most, runs again
    prompts.clear()
    assert run(tiny_bundle, source, output).scored == 0 and not prompts  # nothing is left to do
    other = tmp_path / "out.parquet"
    run(tiny_bundle, source, other)  # of the same job
    assert [row["text"] for row in read_back(other)] == list(TEXTS) and not prompts


def test_resume_needs_no_input(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    run(tiny_bundle, source, tmp_path / "whole.csv")
    job = interrupted(tiny_bundle, source, tmp_path / "out.csv")
    source.unlink()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(job.path, moved)
    report = resume(moved / "out.job", workers=2)
    assert report.output == moved / "out.csv"
    assert (moved / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert verify(moved / "out.job") == []
    with pytest.raises(InputNotFoundError, match="no job"):
        resume(tmp_path / "out.job")


# What failed is tried again.


def test_a_row_that_succeeds_later_gives_the_bytes_of_a_run_without_failure(
    tiny_bundle: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompts: list[int]
) -> None:
    run(tiny_bundle, source, tmp_path / "whole.csv")
    prompts.clear()
    real = Pipeline.run_each
    broken = {TEXTS[2]}

    def fails(self: Pipeline, records: Any, options: Any, on_result: Any) -> list[Any]:
        results = real(self, records, options, on_result)
        fault = InputInvalidError("Not today.")
        return [fault if record.text in broken else came for record, came in zip(records, results)]

    monkeypatch.setattr(Pipeline, "run_each", fails)
    output = tmp_path / "out.csv"
    assert run(tiny_bundle, source, output).errors == 1
    failed = output.read_bytes()
    prompts.clear()
    shard = Job.open(tmp_path / "out.job").shard_path(1)
    before = shard.stat().st_mtime_ns
    report = run(tiny_bundle, source, output)
    assert (report.errors, len(prompts)) == (1, 1)  # only the row that had failed
    assert output.read_bytes() == failed and shard.stat().st_mtime_ns == before
    broken.clear()
    prompts.clear()
    report = run(tiny_bundle, source, output)
    assert (report.errors, report.exit_code) == (0, 0)
    assert len(prompts) == 2  # the row, and its chunk; no other chunk
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_earlier_errors_count_once_they_are_retried(
    tiny_bundle: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            Pipeline,
            "run_each",
            lambda self, records, *rest: [InputInvalidError("Not today.")] * len(records),
        )
        with pytest.raises(TooManyErrorsError):
            run(tiny_bundle, source, tmp_path / "out.csv", max_errors="1")
    assert run(tiny_bundle, source, tmp_path / "out.csv", max_errors="0").errors == 0


# What is refused.


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"chunk_rows": 3}, "chunk_rows: 2 in the job, 3 requested"),
    ({"limit": 3}, "limit: null in the job, 3 requested"),
    ({"id_column": "n"}, 'id_column: "" in the job, "n" requested'),
    ({"text_columns": ("n",)}, 'text_columns: ["text"] in the job, ["n"] requested'),
    ({"prefix": "new_"}, 'prefix: "" in the job, "new_" requested'),
    ({"max_parts": 3}, "max_parts: 64 in the job, 3 requested"),
    ({"guard": "warn"}, 'guard: null in the job, "warn" requested'),
    ({"options": {"max_tokens": 5, "length": "short"}}, "effective_options.length"),
    ({"options": {"max_tokens": 4}}, "options.max_tokens: 5 in the job, 4 requested"),
    ({"option_columns": {"max_tokens": "n"}}, 'option_columns.max_tokens: null in the job, "n" requested'),
    ({"encoding": "latin-1"}, 'reader.encoding: "utf-8" in the job, "latin-1" requested'),
    ({"task": "chat", "options": {"max_tokens": 5}}, 'task: "summarize" in the job, "chat" requested'),
]


def test_another_fingerprint_is_refused(
    tiny_bundle: Path, tiny_bundle_int8: Path, source: Path, tmp_path: Path
) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Shorten: {text}")
    output = tmp_path / "out.csv"
    given: dict[str, Any] = {"task": "summarize", "options": {"max_tokens": 5}, "prompt_file": str(prompt)}
    run(tiny_bundle, source, output, **given)
    for change, said in CHANGES:
        with pytest.raises(JobRefusedError) as caught:
            run(tiny_bundle, source, output, **{**given, **change})
        assert f"\n  {said}" in caught.value.message, caught.value.message
        assert caught.value.exit_code == 2
    with pytest.raises(JobRefusedError, match=r"\n  model.sha256: "):
        run(tiny_bundle_int8, source, output, **given)
    prompt.write_text("Shorten this: {text}")
    with pytest.raises(JobRefusedError, match=r"\n  prompt\.") as caught:
        run(tiny_bundle, source, output, **given)
    assert str(prompt) not in caught.value.message
    Job.open(tmp_path / "out.job").shard_path(0).unlink()
    with pytest.raises(
        JobRefusedError, match=r"\n  prompt\."
    ):  # a worker sees it, where the input is not looked at
        resume(tmp_path / "out.job")
    with pytest.raises(JobRefusedError, match=r"\n  prompt\."):
        resume(tmp_path / "out.job", workers=2)
    prompt.write_text("Shorten: {text}")
    # Where things are, and what runs them, makes no difference.
    copies = [tmp_path / "copy" / path.name for path in (source, prompt)]
    shutil.copytree(tiny_bundle, tmp_path / "copy" / "bundle")
    for path, copy in zip((source, prompt), copies):
        shutil.copy(path, copy)
    given |= {"prompt_file": str(copies[1]), "threads": 2, "workers": 2}
    assert run(tmp_path / "copy" / "bundle", copies[0], tmp_path / "out.jsonl", **given).scored == 2
    source.write_bytes(source.read_bytes().replace(b"dull", b"Dull"))
    with pytest.raises(JobRefusedError, match=r"\n  input_sha256: "):
        run(tiny_bundle, source, output, **given)
    assert run(tiny_bundle, source, output, overwrite=True, task="sentiment").scored == len(TEXTS)


def test_weights_that_changed(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    job = interrupted(bundle, source, tmp_path / "out.csv")
    manifest = json.loads((bundle / "bundle.json").read_text())
    name = max(manifest["files"], key=lambda file: manifest["files"][file]["bytes"])
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    for again in (lambda: run(bundle, source, tmp_path / "out.csv"), lambda: resume(job.path)):
        with pytest.raises(BundleCorruptError, match="has changed") as caught:
            again()
        assert caught.value.exit_code == 5
    import hashlib

    manifest["files"][name]["sha256"] = hashlib.sha256(data).hexdigest()
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    for again in (lambda: run(bundle, source, tmp_path / "out.csv"), lambda: resume(job.path)):
        with pytest.raises(JobRefusedError, match=r"model.sha256"):
            again()


def test_two_processes_on_one_job(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    job = interrupted(tiny_bundle, source, tmp_path / "out.csv")
    holder = (
        "import sys; from pathlib import Path; from nlpsuite.batch.storage import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    new = tmp_path / "new.job"  # one that is only just taken in
    for directory in (job.path, new):
        command = [sys.executable, "-c", holder, directory]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            for overwrite in (False, True):
                with pytest.raises(JobRefusedError, match=f"process {child.pid} on ") as caught:
                    run(tiny_bundle, source, directory.with_suffix(".csv"), overwrite=overwrite)
                assert caught.value.exit_code == 2
            assert directory.is_dir()
            if directory == job.path:
                with pytest.raises(JobRefusedError):
                    remove_job(directory)
                with pytest.raises(JobRefusedError):
                    resume(directory)
            child.kill()
        assert run(tiny_bundle, source, directory.with_suffix(".csv")).errors == 0


def test_an_input_that_changes_while_it_is_read(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    class Touches(JobReporter):
        def stage(self, text: str, total: int | None) -> None:
            if text.startswith("Reading"):
                source.write_text(source.read_text() + "8,more\n")

    with pytest.raises(JobRefusedError, match="changed while it was being read"):
        score_request(ask(tiny_bundle, source, tmp_path / "out.csv"), Touches())
    assert not (tmp_path / "out.job").exists()


def test_a_result_that_is_not_ours_is_not_replaced(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    run(tiny_bundle, source, tmp_path / "out.csv")
    (tmp_path / "out.jsonl").write_text("mine")
    (tmp_path / "out.csv").write_text("edited")
    for name in ("out.jsonl", "out.csv"):  # both are outputs of the one job
        with pytest.raises(JobRefusedError, match="wasn't written by the job"):
            run(tiny_bundle, source, tmp_path / name)
    assert (tmp_path / "out.jsonl").read_text() == "mine" and (tmp_path / "out.csv").read_text() == "edited"
    interrupted_with = ask(tiny_bundle, source, tmp_path / "out.csv", overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        score_request(interrupted_with, Stopped(3))
    assert (tmp_path / "out.csv").read_text() == "edited"  # until the new one is whole
    assert run(tiny_bundle, source, tmp_path / "out.csv").errors == 0  # without --overwrite it goes on
    assert len(read_back(tmp_path / "out.csv")) == len(TEXTS)


# A disk that is full, a place that can't be written.


LIMITED = """
import json, resource, sys
from pathlib import Path
from nlpsuite.errors import NlpsuiteError
from nlpsuite.batch.request import ScoreRequest
from nlpsuite.batch.score import score_request
from nlpsuite.runtime.language_model import LanguageModel

given, limits = json.loads(sys.stdin.read())
import os
for i, limit in enumerate(limits):
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        code = 99
        try:
            code = score_request(ScoreRequest(**{**given, "output": Path(given["output"].replace("#", str(i)))})).exit_code
        except NlpsuiteError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
def test_a_full_disk(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    run(tiny_bundle, source, tmp_path / "whole.jsonl")
    expected = (tmp_path / "whole.jsonl").read_bytes()
    files = [path for path in (tmp_path / "whole.job").rglob("*") if path.is_file()]
    sizes = {path.stat().st_size for path in files} | {len(expected)}
    limits = sorted({0, 1, 10, 100, *sizes, *(size - 1 for size in sizes)})
    given = {
        "task": "sentiment", "data": str(source), "model": str(tiny_bundle), "chunk_rows": 2, "threads": 1,
        "workers": 1, "output": str(tmp_path / "out#.jsonl"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIMITED],
        input=json.dumps([given, limits]),
        capture_output=True,
        text=True,
    )
    codes = [int(line) for line in done.stdout.split()]
    assert len(codes) == len(limits), done.stderr
    assert set(codes[:-1]) <= {0, 7} and codes[0] == 7 and codes[-1] == 0, (codes, done.stderr)
    assert codes.count(7) > len(limits) // 2
    for i, code in enumerate(codes):
        output, directory = tmp_path / f"out{i}.jsonl", tmp_path / f"out{i}.job"
        if output.exists():
            assert output.read_bytes() == expected
        if (directory / "manifest.json").exists():
            job = Job.open(directory)
            assert all(job.shard(chunk) for chunk in job.shards_there())
            assert not list(directory.rglob(".incomplete-*"))
        else:
            assert code == 7 and not directory.exists()
        assert run(tiny_bundle, source, output).errors == 0
        assert output.read_bytes() == expected and verify(directory) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_can_not_be_written(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    job = interrupted(tiny_bundle, source, tmp_path / "out.csv")
    (job.path / "shards").chmod(0o500)
    with pytest.raises(JobStorageError, match="Permission denied") as caught:
        run(tiny_bundle, source, tmp_path / "out.csv")
    assert caught.value.exit_code == 7
    (job.path / "shards").chmod(0o700)
    assert run(tiny_bundle, source, tmp_path / "out.csv").errors == 0
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(JobStorageError, match="Permission denied"):
        run(tiny_bundle, source, closed / "out.csv")


def test_shards_of_the_first_development_version_are_read(
    tiny_bundle: Path, source: Path, tmp_path: Path
) -> None:
    run(tiny_bundle, source, tmp_path / "out.jsonl", task="complete", options={"max_tokens": 2})
    job = Job.open(tmp_path / "out.job")
    results = list(job.results())
    for chunk in range(job.chunks):
        rows = job.shard(chunk) or []
        job.commit(chunk, [{**row, "finish": row["finish_reason"]} for row in rows])
        old = [{k: v for k, v in row.items() if k != "finish_reason"} for row in job.shard(chunk) or []]
        job.commit(chunk, old)
    assert list(job.results()) == results and {result.finish_reason for result in results} <= {
        "length",
        "stop",
    }
    expected = (tmp_path / "out.jsonl").read_bytes()
    assert resume(job.path).scored == 0 and (tmp_path / "out.jsonl").read_bytes() == expected
