"""Looking after jobs: list, show, verify, remove."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from job_help import TEXTS, interrupted, run, write_rows

from nlpsuite.batch.job import Job
from nlpsuite.batch.manage import describe, list_jobs, remove_job, verify
from nlpsuite.errors import InputInvalidError, InputNotFoundError, JobStorageError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "in.csv", [{"n": i, "text": text} for i, text in enumerate(TEXTS)])


def test_verify_finds_what_was_changed(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    job = interrupted(tiny_bundle, source, tmp_path / "out.csv")
    assert "chunks haven't been scored yet" in verify(job.path)[0]
    run(tiny_bundle, source, tmp_path / "out.csv")
    assert verify(job.path) == []
    files = [
        tmp_path / "out.csv",
        job.shard_path(1),
        job.path / "input" / "000001.jsonl",
        job.path / "manifest.json",
    ]
    said = ["was changed after", "Shard 1 is corrupt", "000001.jsonl is corrupt", "is corrupt"]
    draw = random.Random(5)
    for file, word in zip(files, said):
        data = file.read_bytes()
        for place in draw.sample(range(len(data)), 12):
            if data[place : place + 1] in b"\n ":  # what JSON takes for the same
                continue
            file.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            if file.name == "manifest.json":
                with pytest.raises(InputInvalidError, match="manifest"):
                    verify(job.path)
            else:
                assert word in " ".join(verify(job.path))
        file.write_bytes(data)
    (tmp_path / "out.csv").unlink()
    assert "is missing" in verify(job.path)[0]
    # A shard of another job, whole in itself.
    write_rows(tmp_path / "other.csv", [{"n": i, "text": "other"} for i in range(len(TEXTS))])
    run(tiny_bundle, tmp_path / "other.csv", tmp_path / "alien.csv")
    shutil.copy(Job.open(tmp_path / "alien.job").shard_path(0), job.shard_path(0))
    assert "Shard 0 belongs to another input." in verify(job.path)


def test_damaged_input_of_a_job_is_not_scored(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    job = interrupted(tiny_bundle, source, tmp_path / "out.csv")
    last = job.path / "input" / f"{job.chunks - 1:06d}.jsonl"
    last.write_bytes(last.read_bytes().replace(b"again", b"agaim"))
    with pytest.raises(JobStorageError, match="corrupt"):
        run(tiny_bundle, source, tmp_path / "out.csv")
    assert run(tiny_bundle, source, tmp_path / "out.csv", overwrite=True).errors == 0


def test_list_show_remove(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    job = interrupted(tiny_bundle, source, tmp_path / "b.csv")
    run(tiny_bundle, source, tmp_path / "a.csv")
    (tmp_path / "c.job").mkdir()
    (tmp_path / "e.job").mkdir()
    (tmp_path / "e.job" / "lock").touch()  # of a process that was killed while it took the input in
    (tmp_path / "d.job").mkdir()
    (tmp_path / "d.job" / "manifest.json").write_text("{")
    states = {Path(entry["path"]).name: entry["state"] for entry in list_jobs(tmp_path)}
    assert states == {"a.job": "complete", "b.job": "50% done", "d.job": "corrupt", "e.job": "not started"}
    shown = describe(job.path)
    assert shown["last_run"]["reason"] == "interrupted"
    assert shown["manifest"]["recorded"]["nlpsuite"] and "sha256" not in shown["manifest"]
    for name in ("a", "b", "d", "e"):
        remove_job(tmp_path / f"{name}.job")
    assert (tmp_path / "a.csv").exists()
    assert [path.name for path in tmp_path.glob("*.job")] == ["c.job"]
    with pytest.raises(InputNotFoundError, match="no job"):
        remove_job(tmp_path / "c.job")
