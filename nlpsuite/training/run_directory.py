"""The directory of a training run: its settings, log, checkpoints and result. Imports no torch.

run.json          effective settings, data, environment
metrics.jsonl     a line every few steps and for each validation
curves.png        the same as a picture
data/             prepared once, read by training
checkpoints/      step-00001200/: weights, optimizer, place in the schedule
best/             weights with the lowest validation loss so far
model/            the result of `train lm` and of `--full`; adapter.safetensors that of `train adapter`
result.json       written last: a run without it is unfinished
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite import __version__
from nlpsuite.errors import BundleCorruptError, ModelNotFoundError, OptionError, StorageError
from nlpsuite.files import atomic_write_text, remove_stale, storage_errors, try_lock

if TYPE_CHECKING:
    from nlpsuite.training.distributed import World
    from nlpsuite.training.report import TrainReporter

__all__ = ["RunContext", "RunDirectory", "default_run_directory", "remove_run"]

_FORMAT, _VERSION = "nlpsuite-run", 1


class RunDirectory:
    """A run's directory. Get one from ``create`` or ``open``; hold it with ``locked``.

    Attributes:
        kind: ``lm`` or ``adapter``.
        settings, data: the JSON values that describe the run completely.
    """

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self.path = path
        self.kind: str = description.get("kind", "")
        self.settings: dict[str, Any] = description.get("settings", {})
        self.data: list[str] = description.get("data", [])

    @classmethod
    def create(cls, path: Path, kind: str, settings: dict[str, Any], data: list[str]) -> RunDirectory:
        """Start a run.

        Raises:
            OptionError: ``path`` holds a run or something else.
            StorageError: ``path`` can't be written.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            is_run = (path / "run.json").is_file()
            raise OptionError(
                f"{path} already exists{'' if is_run else ' and is not a training run'}.",
                hint="Resume it with --resume, or replace it with --overwrite."
                if is_run
                else "Name another directory.",
            )
        description = {
            "format": _FORMAT,
            "version": _VERSION,
            "kind": kind,
            "settings": settings,
            "data": data,
            "environment": _environment(),
        }
        with storage_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        _write_json(path / "run.json", description)
        return cls(path, description)

    @classmethod
    def open(cls, path: Path, kind: str = "") -> RunDirectory:
        """An existing run.

        Args:
            kind: ``lm`` or ``adapter``, if it must be one of these.

        Raises:
            ModelNotFoundError: there is none.
            OptionError: it is of the other kind.
            BundleCorruptError: its description is damaged.
        """
        try:
            description = json.loads((path / "run.json").read_text(encoding="utf-8"))
            known = description["format"] == _FORMAT and description["version"] <= _VERSION
            run = cls(path, description)
            assert run.kind and isinstance(run.settings, dict) and isinstance(run.data, list)
        except (FileNotFoundError, NotADirectoryError):
            raise ModelNotFoundError(
                f"There is no run at {path}.", hint="To start one, omit --resume."
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            raise BundleCorruptError(f"{path / 'run.json'} is damaged: {error!r}.") from None
        if not known:
            raise BundleCorruptError(f"{path} was written by a newer nlpsuite.", hint="Upgrade nlpsuite.")
        if kind not in ("", run.kind):
            raise OptionError(f"{path} is a run of `nlpsuite train {run.kind}`.", hint=run.resume_command)
        return run

    def record_settings(self, settings: Mapping[str, Any]) -> None:
        """Write changed settings to run.json; what else is there stays."""
        if settings.items() <= self.settings.items():
            return
        self.settings = {**self.settings, **settings}
        description = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        _write_json(self.path / "run.json", {**description, "settings": self.settings})

    @property
    def resume_command(self) -> str:
        """The command line that continues the run."""
        return f"nlpsuite train {self.kind} --resume -o {self.path}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out while training. Raises OptionError if one is training here."""
        with storage_errors(self.path):
            file = (self.path / "lock").open("a")
        with file:
            try:
                try_lock(file.fileno())
            except OSError:
                raise OptionError(
                    f"Another process is training in {self.path}.",
                    hint="Wait for it, or name another directory.",
                ) from None
            remove_stale(self.path)
            remove_stale(self.path / "checkpoints")
            yield

    # Metrics

    def append_metrics(self, **values: Any) -> None:
        """Append a line. A crash may leave it incomplete: readers skip it."""
        with storage_errors(self.path), (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines so far; none without a file. Lines that a crash left incomplete are skipped."""
        lines: list[Any] = []
        with contextlib.suppress(FileNotFoundError):
            text = (self.path / "metrics.jsonl").read_text(encoding="utf-8", errors="replace")
            for line in text.split("\n"):
                with contextlib.suppress(ValueError, RecursionError):
                    lines.append(json.loads(line))
        return [line for line in lines if isinstance(line, dict) and type(line.get("step")) is int]

    def forget_metrics_after(self, step: int) -> None:
        """Drop the lines that a run resumed at ``step`` will write again."""
        lines = [json.dumps(m, ensure_ascii=False) + "\n" for m in self.metrics() if m["step"] <= step]
        atomic_write_text(self.path / "metrics.jsonl", "".join(lines))

    # Checkpoints

    def checkpoint_path(self, step: int) -> Path:
        return self.path / "checkpoints" / f"step-{step:08d}"

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return sorted((self.path / "checkpoints").glob("step-????????"))

    @property
    def last_step(self) -> int:
        """The step of the newest checkpoint; 0 without one."""
        return max((int(path.name.removeprefix("step-")) for path in self.checkpoints()), default=0)

    @property
    def best(self) -> Path:
        """Directory of the best weights so far."""
        return self.path / "best"

    def remove_old_checkpoints(self) -> None:
        """Leave the newest two: the last one, and another in case that one is damaged."""
        for path in self.checkpoints()[:-2]:
            shutil.rmtree(path, ignore_errors=True)

    # Result

    def write_result(self, result: Mapping[str, Any]) -> None:
        _write_json(self.path / "result.json", result)

    def result(self) -> dict[str, Any] | None:
        """What ``write_result`` wrote; None if the run is unfinished."""
        try:
            result: dict[str, Any] = json.loads((self.path / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return result


@dataclass(frozen=True)
class RunContext:
    """A run that is ready to be built: its directory, settings and processes.

    Attributes:
        resume: continue the run that is there.
        dry_run: only estimate what the run would take.
        reporter: does nothing on processes other than the main one.
    """

    run: RunDirectory
    settings: Any
    world: World
    resume: bool
    dry_run: bool
    reporter: TrainReporter


def default_run_directory(name: str) -> Path:
    """Where a run goes unless the user names a directory: in ``runs/``, named after its corpus or task."""
    return Path("runs") / (re.sub(r"[^\w.-]+", "-", name).strip("-.") or "lm")


def remove_run(path: Path) -> None:
    """Remove a run's directory; anything else is left alone. Raises OptionError, StorageError."""
    if not path.exists():
        return
    if not (path / "run.json").is_file() and (not path.is_dir() or any(path.iterdir())):
        raise OptionError(
            f"{path} is not a training run, so it is left alone.", hint="Name another directory."
        )
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise StorageError(f"Can't remove {path}: {error.strerror or error}.") from error


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    atomic_write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _environment() -> dict[str, Any]:
    """What a reader needs to know to repeat a run."""
    packages = {}
    for name in ("torch", "numpy", "tokenizers"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    return {
        "nlpsuite": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        **packages,
    }
