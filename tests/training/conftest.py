"""A corpus, a reporter, and runs that take a second."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import Recorder, small, write_corpus

with warnings.catch_warnings():  # torch's own, at import
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "animals.txt")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


TrainLM = Callable[..., Any]


@pytest.fixture
def train_lm(corpus: Path, recorder: Recorder) -> TrainLM:
    """``train_lm("decoder", run_dir, steps=5)``; gives the report."""

    def train(arch: str, path: Path, *, resume: bool = False, dry_run: bool = False, **changes: Any) -> Any:
        from nlpsuite.training.run_lm import train_lm

        data, settings = ((), changes) if resume else (corpus, small(arch, **changes))
        return train_lm(data, output=path, resume=resume, dry_run=dry_run, reporter=recorder, **settings)

    return train
