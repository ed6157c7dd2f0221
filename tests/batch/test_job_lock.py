"""One process at a time works on a job."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nlpsuite.batch.storage import LOCK, locked
from nlpsuite.errors import JobRefusedError


def test_the_holder_of_the_lock_is_named(tmp_path: Path) -> None:
    job = tmp_path / "out.job"
    with locked(job):
        for _ in range(2):  # asking changes nothing
            with pytest.raises(JobRefusedError, match=f"process {os.getpid()} on "), locked(job):
                pass
    with locked(job):  # a released lock can be taken again
        assert (job / LOCK).read_text().startswith(f"process {os.getpid()} on ")


def test_a_longer_name_of_an_earlier_holder_leaves_nothing_behind(tmp_path: Path) -> None:
    job = tmp_path / "out.job"
    job.mkdir()
    (job / LOCK).write_text("process 1 on " + "x" * 150 + "\n")
    with locked(job):
        assert "x" * 150 not in (job / LOCK).read_text()
