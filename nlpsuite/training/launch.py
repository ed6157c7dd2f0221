"""What every run has in common: settings, directory, processes, threads, a result."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from nlpsuite.errors import OptionError
from nlpsuite.options import make_options
from nlpsuite.training.distributed import World, join_world
from nlpsuite.training.run_directory import RunDirectory, remove_run
from nlpsuite.training.settings import LoopSettings
from nlpsuite.training.trainer import Outcome, Recipe, Trainer, TrainReporter

__all__ = ["RunContext", "RunTarget", "begin", "drive", "result_of"]

S = TypeVar("S", bound=LoopSettings)


@dataclasses.dataclass(frozen=True)
class RunTarget:
    """RunTarget a run goes, and how it starts.

    Attributes:
        path: the run's directory.
        resume: go on with the run that is there.
        overwrite: replace the run that is there.
        dry: only see what it would take; nothing is kept.
    """

    path: Path
    resume: bool = False
    overwrite: bool = False
    dry: bool = False


@dataclasses.dataclass(frozen=True)
class RunContext:
    """A run that is ready to be built: its directory, settings and processes."""

    run: RunDirectory
    settings: Any
    world: World
    where: RunTarget


@contextlib.contextmanager
def begin(
    where: RunTarget,
    kind: str,
    cls: type[S],
    given: Mapping[str, Any],
    data: list[str],
    extra: Mapping[str, Any],
) -> Iterator[RunContext]:
    """Settle the settings, join the other processes, and make or open the run's directory.

    Args:
        given: settings that the user gave.
        data: paths of the data, as given.
        extra: further JSON values that belong to the run's description, such as the task.

    Raises:
        OptionError: unknown or conflicting settings, or a directory in the way.
    """
    path = where.path
    if where.resume and (where.overwrite or where.dry):
        other = "--overwrite" if where.overwrite else "--dry-run"
        raise OptionError(f"--resume and {other} are given.", hint="Leave one of them out.")
    with contextlib.ExitStack() as stack:
        if where.dry:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nlpsuite-dry-"))) / "run"
        opened = RunDirectory.open(path, kind) if where.resume else None
        settings = _recorded(opened, cls, given, data, extra) if opened else make_options(cls, dict(given))
        if settings.threads:
            torch.set_num_threads(settings.threads)
        world = stack.enter_context(join_world(settings.device))
        if opened is None:
            # The number of threads is part of what makes a run repeatable, so it is written down.
            settings = dataclasses.replace(settings, threads=settings.threads or torch.get_num_threads())
            description = {**dataclasses.asdict(settings), **extra}
            if world.main:
                _make_room(path, overwrite=where.overwrite)
                RunDirectory.create(path, kind, description, data)
            world.barrier()
            opened = RunDirectory.open(path, kind)
        if world.main:
            stack.enter_context(opened.locked())
        yield RunContext(opened, settings, world, where)


def drive(begun: RunContext, recipe: Recipe, reporter: TrainReporter) -> tuple[Trainer, Outcome | None]:
    """Train. The outcome is None after a dry run."""
    trainer = Trainer(recipe, begun.settings, begun.run, begun.world, reporter)
    preflight = trainer.preflight()
    if begun.world.main:
        reporter.preflight(preflight)
        for notice in preflight.warnings():
            reporter.notice(notice)
    if begun.where.dry:
        return trainer, None
    return trainer, trainer.train(resume=begun.where.resume)


def result_of(outcome: Outcome) -> dict[str, Any]:
    """What ``result.json`` says of every run."""
    return {
        "ended_by": outcome.reason,
        "steps": outcome.progress.step,
        "tokens": outcome.progress.tokens,
        "seconds": round(outcome.progress.seconds, 1),
        "best_step": outcome.progress.best_step,
        "validation_loss": outcome.progress.best,
    }


def _make_room(path: Path, *, overwrite: bool) -> None:
    """Remove the run at ``path`` if that is asked for, or if it never got as far as a checkpoint.

    What ended by an error before that, such as a column that isn't there, is no loss, and the same
    command should do once the error is mended.
    """
    if not (path / "run.json").is_file():
        if overwrite:
            remove_run(path)
        return
    if overwrite or _barely_begun(path):
        with RunDirectory(path, {}).locked():  # another process may be about to write its first one
            pass
        remove_run(path)


def _barely_begun(path: Path) -> bool:
    """Whether a run's directory holds nothing but what every run writes before its first checkpoint."""
    early = {"run.json", "lock", "data", "metrics.jsonl", "checkpoints"}
    names = {entry.name for entry in path.iterdir() if not entry.name.startswith(".incomplete-")}
    return names <= early and not RunDirectory(path, {}).checkpoints()


def _recorded(
    opened: RunDirectory, cls: type[S], given: Mapping[str, Any], data: list[str], extra: Mapping[str, Any]
) -> S:
    """The settings that a run was begun with. Giving others is an error: it would be another run."""
    recorded = {**opened.settings, "data": opened.data}
    for name, value in {**given, **extra, "data": data or None}.items():
        if value is not None and recorded.get(name) != json.loads(json.dumps(value)):
            raise OptionError(
                f"The run {opened.path} was begun with {name} = {recorded.get(name)!r}, not {value!r}.",
                hint="Leave it out to go on with the run, or start a new one in another directory.",
            )
    names = {field.name for field in dataclasses.fields(cls)}
    return make_options(cls, {name: value for name, value in recorded.items() if name in names})
