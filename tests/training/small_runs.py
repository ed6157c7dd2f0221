"""Runs so small that they take a second, and a reporter that remembers."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nlpsuite.training.report import TrainReporter

# So small that the model learns it within seconds, and a run on two cores is no slower alone.
SMALL: dict[str, dict[str, Any]] = {
    "decoder": {"layers": 2, "hidden": 32, "heads": 2},
    "gpt2": {"layers": 2, "hidden": 32, "heads": 2},
    "lstm": {"layers": 1, "hidden": 48, "embedding": 24},
}
COMMON: dict[str, Any] = {
    "vocab_size": 300,
    "context": 32,
    "batch_tokens": 256,
    "threads": 1,
    "precision": "fp32",
    "lr": 5e-3,
}


def small(arch: str = "decoder", **changes: Any) -> dict[str, Any]:
    """Settings of a run that takes a second."""
    settings = {"arch": arch, **COMMON, **SMALL[arch], **changes}
    if "minutes" not in settings:
        settings.setdefault("steps", 12)
    return settings


def start_training(
    kind: str, settings: Mapping[str, Any], run: Path, *args: str, launcher: Iterable[str] = ()
) -> subprocess.Popen[bytes]:
    """``nlpsuite train KIND`` as a user starts it, in a process group of its own."""
    given = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "nlpsuite", "train", kind, *args, *given, "-o", str(run)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], Any], child: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Wait for a condition that a running child brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        assert child.poll() is None, child.communicate()[1].decode()
        time.sleep(0.005)


def write_corpus(path: Path, words: int = 4_000, seed: int = 0) -> Path:
    """Sentences over a few words, with an order that can be learned."""
    generator = random.Random(seed)
    subjects, verbs, objects = ("the cat|a dog|my horse", "sees|hears|follows", "a bird|the moon|its shadow")
    lines = []
    for _ in range(words // 5):
        lines.append(" ".join(generator.choice(part.split("|")) for part in (subjects, verbs, objects)) + ".")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class Recorder(TrainReporter):
    """A reporter that remembers what was reported."""

    def __init__(self) -> None:
        self.preflights: list[Any] = []
        self.losses: list[float] = []
        self.validations: list[Any] = []
        self.notices: list[str] = []
        self.stages: list[str] = []

    def stage(self, text: str, total: int | None) -> None:
        self.stages.append(text)

    def preflight(self, preflight: Any) -> None:
        self.preflights.append(preflight)

    def step(self, progress: Any, share: float, loss: float, tokens_per_second: float) -> None:
        self.losses.append(loss)

    def validation(self, progress: Any, validation: Any) -> None:
        self.validations.append(validation)

    def notice(self, text: str) -> None:
        self.notices.append(text)
