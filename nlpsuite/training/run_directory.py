"""The directory of a training run: what was asked for, how it went, where it stands.

run.json          effective settings, data, environment
metrics.jsonl     a line each few steps and each evaluation
curves.png        the same as a picture
data/             what the training reads, prepared once
checkpoints/      step-00001200/: weights, optimizer, place in the schedule
best/             weights of the best evaluation so far
result.json       written last
model/            the result of `train lm` and of `--full`; adapter.safetensors that of `train adapter`
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from nlpsuite import __version__
from nlpsuite.errors import BundleCorruptError, ModelNotFoundError, OptionError, StorageError
from nlpsuite.files import atomic_write_text, remove_stale, storage_errors, try_lock

__all__ = ["RunDirectory", "environment"]

_FORMAT, _VERSION = "nlpsuite-run", 1
_KEPT = 2


class RunDirectory:
    """A run's directory. Make one with ``create`` or ``open``; hold it with ``locked``."""

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self.path = path
        self.description = description

    @classmethod
    def create(cls, path: Path, kind: str, settings: Mapping[str, Any], data: list[str]) -> RunDirectory:
        """A fresh run. ``settings`` and ``data`` are JSON values that describe it wholly.

        Raises:
            OptionError: there is a run, or something else, at ``path``.
            StorageError: it can't be written.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            is_run = (path / "run.json").is_file()
            hint = (
                f"Go on with it: add --resume. Or replace it: --overwrite, or remove {path}."
                if is_run
                else "Name another directory."
            )
            raise OptionError(f"{path} exists already{'' if is_run else ' and holds no run'}.", hint=hint)
        description = {
            "format": _FORMAT,
            "version": _VERSION,
            "kind": kind,
            "settings": dict(settings),
            "data": data,
            "environment": environment(),
        }
        with storage_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path / "run.json", json.dumps(description, indent=2, ensure_ascii=False) + "\n")
        return cls(path, description)

    @classmethod
    def open(cls, path: Path, kind: str) -> RunDirectory:
        """A run that was begun before.

        Raises:
            ModelNotFoundError: there is none.
            OptionError: it is of another kind.
            BundleCorruptError: its description is damaged.
        """
        try:
            description = json.loads((path / "run.json").read_text(encoding="utf-8"))
            known = description["format"] == _FORMAT and description["version"] <= _VERSION
            found = description["kind"]
            assert isinstance(description["settings"], dict) and isinstance(description["data"], list)
        except (FileNotFoundError, NotADirectoryError):
            raise ModelNotFoundError(
                f"There is no run at {path} to go on with.", hint="Start it: leave --resume out."
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            raise BundleCorruptError(f"{path / 'run.json'} is damaged: {error!r}.") from None
        if not known:
            raise BundleCorruptError(
                f"{path} was written by a newer nlpsuite.", hint="Upgrade nlpsuite to go on with it."
            )
        if found != kind:
            raise OptionError(f"{path} is a run of `train {found}`.", hint=f"nlpsuite train {found} --resume")
        return cls(path, description)

    @property
    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.description["settings"]
        return settings

    @property
    def data(self) -> list[str]:
        data: list[str] = self.description["data"]
        return data

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in this directory. Raises OptionError if one does."""
        with storage_errors(self.path):
            file = (self.path / "lock").open("a")
        with file:
            try:
                try_lock(file.fileno())
            except OSError:
                raise OptionError(
                    f"Another process is training in {self.path}.", hint="Wait for it, or choose another -o."
                ) from None
            remove_stale(self.path)
            remove_stale(self.path / "checkpoints")
            yield

    # Metrics

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def append_metrics(self, **values: Any) -> None:
        """Add a line; a crash may tear the last one, which readers skip."""
        with storage_errors(self.path), self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines so far, without a torn last one."""
        lines = []
        with contextlib.suppress(FileNotFoundError):
            for line in self.metrics_path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    lines.append(json.loads(line))
        return lines

    def forget_metrics_after(self, step: int) -> None:
        """Drop what a run that goes on from ``step`` will write again."""
        kept = [json.dumps(m, ensure_ascii=False) + "\n" for m in self.metrics() if m.get("step", 0) <= step]
        atomic_write_text(self.metrics_path, "".join(kept))

    # Checkpoints

    def checkpoint_path(self, step: int) -> Path:
        return self.path / "checkpoints" / f"step-{step:08d}"

    def checkpoints(self) -> list[Path]:
        """Whole checkpoints, oldest first."""
        return sorted((self.path / "checkpoints").glob("step-????????"))

    def remove_old_checkpoints(self) -> None:
        """Keep the newest two: the last one, and one more in case its disk block is bad."""
        for path in self.checkpoints()[:-_KEPT]:
            shutil.rmtree(path, ignore_errors=True)

    # Result

    def write_result(self, result: Mapping[str, Any]) -> None:
        atomic_write_text(self.path / "result.json", json.dumps(result, indent=2, ensure_ascii=False) + "\n")

    def result(self) -> dict[str, Any] | None:
        """What ``write_result`` wrote, or None while the run is not over."""
        try:
            result: dict[str, Any] = json.loads((self.path / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return result


def remove_run(path: Path) -> None:
    """Remove a run's directory, and nothing that is not one. Raises OptionError, StorageError."""
    if not path.exists():
        return
    if not (path / "run.json").is_file() and (not path.is_dir() or any(path.iterdir())):
        raise OptionError(f"{path} holds no run; it is left alone.", hint="Name another directory.")
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise StorageError(f"Can't remove {path}: {error.strerror or error}.") from error


def environment() -> dict[str, Any]:
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
