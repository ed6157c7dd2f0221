"""What every run has in common: settings, directory, processes, threads, result. Imports torch only when a
run starts, so that mistakes in its arguments are reported at once."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import MissingExtraError, OptionError
from nlpsuite.files import atomic_directory
from nlpsuite.options import make_options
from nlpsuite.training.report import Outcome, TrainReporter
from nlpsuite.training.run_directory import RunContext, RunDirectory, remove_run
from nlpsuite.training.settings import LoopSettings

if TYPE_CHECKING:
    from nlpsuite.models.config import ModelConfig
    from nlpsuite.training.trainer import Recipe

__all__ = ["finish_run", "fit", "open_run", "save_model"]

_ENDS = ("steps", "minutes", "patience")


@contextlib.contextmanager
def open_run(
    path: Path,
    kind: str,
    cls: type[LoopSettings],
    given: Mapping[str, Any],
    data: list[str],
    extra: Mapping[str, Any],
    *,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    reporter: TrainReporter | None,
) -> Iterator[RunContext]:
    """Settle the settings, join the other processes, and create or open the run's directory.

    Args:
        path: the run's directory.
        kind: ``lm`` or ``adapter``.
        cls: the settings of that kind of run.
        given: settings that the user gave.
        data: paths of the data, as given; empty to take a resumed run's own.
        extra: further JSON values that are part of the run's description, such as the task.
        resume: continue the run in ``path``.
        overwrite: replace what is there.
        dry_run: work in a temporary directory instead.

    Raises:
        OptionError: unknown or conflicting settings, or a directory in the way.
        MissingExtraError: torch or matplotlib isn't installed.
    """
    if resume and (overwrite or dry_run):
        other = "--overwrite" if overwrite else "--dry-run"
        raise OptionError(f"--resume and {other} exclude each other.", hint="Omit one of them.")
    _prepare_process()
    with contextlib.ExitStack() as stack:
        if dry_run:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nlpsuite-dry-"))) / "run"
        run = RunDirectory.open(path, kind) if resume else None
        settings = _recorded(run, cls, given, data, extra) if run else make_options(cls, dict(given))

        import torch

        from nlpsuite.training.distributed import join_world

        if not settings.threads:  # recorded, since results depend on it
            settings = dataclasses.replace(settings, threads=_idle_threads(torch.get_num_threads()))
        torch.set_num_threads(settings.threads)
        world = stack.enter_context(join_world(settings.device))
        if run is None:
            if world.main:
                _make_room(path, overwrite=overwrite)
                RunDirectory.create(path, kind, {**dataclasses.asdict(settings), **extra}, data)
            world.barrier()
            run = RunDirectory.open(path, kind)
        if world.main:
            stack.enter_context(run.locked())
            if resume:
                run.record_settings(dataclasses.asdict(settings))
        reporter = reporter if reporter and world.main else TrainReporter()
        try:
            yield RunContext(run, settings, world, resume, dry_run, reporter)
        except KeyboardInterrupt:  # outside the training loop, which saves and reports it itself
            if not dry_run:
                reporter.notice(f"To resume: {run.resume_command}")
            raise


def fit(context: RunContext, recipe: Recipe) -> Outcome | None:
    """Estimate, then train. Returns None after a dry run."""
    from nlpsuite.training.trainer import Trainer

    trainer = Trainer(recipe, context)
    preflight = trainer.preflight()
    context.reporter.preflight(preflight)
    for warning in preflight.warnings():
        context.reporter.notice(warning)
    return None if context.dry_run else trainer.train(resume=context.resume)


def save_model(run: RunDirectory, config: ModelConfig, tokenizer_files: Mapping[str, str], card: str) -> None:
    """Write the best weights as a checkpoint directory, ``model``."""
    from nlpsuite.models.checkpoint_write import write_checkpoint
    from nlpsuite.training.checkpoints import read_weights

    arrays = {name: tensor.float().numpy() for name, tensor in read_weights(run.best).items()}
    with atomic_directory(run.path / "model", replace=True) as building:
        write_checkpoint(building, config, arrays, tokenizer_files, card=card)


def finish_run(run: RunDirectory, outcome: Outcome, **values: Any) -> None:
    """Draw the curves and write ``result.json``, which marks the run as finished."""
    from nlpsuite.training.plot import draw_curves

    draw_curves(run.metrics(), run.path / "curves.png")
    progress = outcome.progress
    run.write_result(
        {
            "ended_by": outcome.reason,
            "steps": progress.step,
            "tokens": progress.tokens,
            "seconds": round(progress.seconds, 1),
            "best_step": progress.best_step,
            "validation_loss": progress.best,
            **values,
        }
    )


def _prepare_process() -> None:
    for package in ("torch", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                f"Training needs {package}.", hint="Install the extra: pip install 'nlpsuite[train]'."
            )
    # Read when torch is loaded. Threads that spin while they wait are ten times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _idle_threads(most: int) -> int:
    """Threads for the cores that other programs leave idle, but at least half of ``most``.

    The load is an average over a minute, which may include what has just ended.
    """
    if "OMP_NUM_THREADS" in os.environ or not hasattr(os, "getloadavg"):
        return most
    return max(-(-most // 2), min(most, round(most - os.getloadavg()[0])))


def _make_room(path: Path, *, overwrite: bool) -> None:
    """Remove the run at ``path`` if the user asks for it, or if it has no checkpoint yet.

    A run that ended before that, for example because a column was missing, has nothing to lose, and the
    same command should work once the mistake is fixed.
    """
    if not (path / "run.json").is_file():
        if overwrite:
            remove_run(path)
    elif overwrite or _has_no_work(path):
        with RunDirectory(path, {}).locked():  # another process may be about to write its first checkpoint
            pass
        remove_run(path)


def _has_no_work(path: Path) -> bool:
    """Whether a run's directory holds nothing but what every run writes before its first checkpoint."""
    early = {"run.json", "lock", "data", "metrics.jsonl", "checkpoints"}
    names = {entry.name for entry in path.iterdir() if not entry.name.startswith(".incomplete-")}
    return names <= early and not RunDirectory(path, {}).checkpoints()


def _recorded(
    run: RunDirectory,
    cls: type[LoopSettings],
    given: Mapping[str, Any],
    data: list[str],
    extra: Mapping[str, Any],
) -> LoopSettings:
    """The settings that a run was started with, but for those of when it ends. Others can't be changed: it would
    be another run."""
    # Runs of earlier versions lack newer settings, which had no other values than today's defaults, or none in the
    # case of averaging, and spell the license differently.
    names = {field.name: field.default for field in dataclasses.fields(cls)}
    recorded = {**names, "ema": 0.0, "license": run.settings.get("licence"), **run.settings, "data": run.data}
    ends = {name: given[name] for name in _ENDS if given.get(name) is not None}
    if ends.keys() & {"steps", "minutes"}:
        recorded |= {"steps": None, "minutes": None}
    recorded |= ends
    for name, value in {**given, **extra, "data": data or None}.items():
        if value is not None and recorded.get(name) != json.loads(json.dumps(value)):
            raise OptionError(
                f"The run {run.path} was started with {name} = {recorded.get(name)!r}, not {value!r}.",
                hint="Omit it to resume the run, or start a new one in another directory.",
            )
    return make_options(cls, {name: value for name, value in recorded.items() if name in names})
