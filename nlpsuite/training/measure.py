"""What a finished model is worth: its answers on held-out rows, from the pipeline that users will run.

The same pipeline gives the scores that the temperature of its choices is fitted to.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import onnxruntime

from nlpsuite.data.examples import Example
from nlpsuite.errors import NlpsuiteError
from nlpsuite.export.build import build_bundle
from nlpsuite.models.bundle_cache import DEFAULT_PRECISION
from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.models.resolve import WEIGHT_BYTES
from nlpsuite.models.spec import Reporter
from nlpsuite.runtime.device import DeviceChoice
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.tasks.result import Output
from nlpsuite.training.calibrate import choice_scores, fit_temperature

if TYPE_CHECKING:
    from nlpsuite.export.fill import Precision

__all__ = ["Measurement", "measure"]


@dataclass(frozen=True)
class Measurement:
    """What ``measure`` returns.

    Attributes:
        figures: the task's metrics by name, ``n`` rows that they are taken on, ``failed`` rows if there are any,
            and what computed them: ``precision`` of the weights and ``runtime``.
        temperature: fitted to the scores of choices; 1 for a task without choices.
        fitted_on: rows that it was fitted to.
    """

    figures: Mapping[str, Any]
    temperature: float = 1.0
    fitted_on: int = 0


def measure(
    checkpoint: Checkpoint,
    task: Task[Any],
    options: Mapping[str, Any],
    examples: Sequence[Example],
    *,
    scored: int,
    workspace: Path,
    device: DeviceChoice,
    threads: int,
    reporter: Reporter,
) -> Measurement:
    """Export a checkpoint in the default precision, fit the temperature of its choices to all examples, answer
    the first ``scored`` of them and score the answers.

    A row that fails counts as an empty answer.

    Args:
        workspace: an existing directory with room for the bundle, which is removed afterwards.

    Raises:
        MissingExtraError, UnsupportedModelError: the checkpoint can't be exported here.
        NlpsuiteError: the bundle can't be written or run, the metrics fail, or every row does.
    """
    precision = cast("Precision", DEFAULT_PRECISION)
    prefix = f".incomplete-{os.getpid()}-"  # removed by the next run if this one is killed
    with tempfile.TemporaryDirectory(prefix=prefix, dir=workspace, ignore_cleanup_errors=True) as directory:
        size = int(checkpoint.config.parameter_count() * WEIGHT_BYTES[precision])
        reporter.stage(f"Exporting {checkpoint.name} ({precision}) to measure it", size)
        try:
            path = build_bundle(
                checkpoint,
                Path(directory) / "bundle",
                precision=precision,
                on_progress=lambda fraction: reporter.advance(round(fraction * size)),
            )
            reporter.stage(f"Answering {len(examples):,} held-out rows", None)
            model = LanguageModel.load(path, device=device, threads=threads)
            pipeline = Pipeline(task, model, **options)
            scores, right = choice_scores(model, pipeline.task, pipeline.options, examples)
            pipeline.temperature = fit_temperature(scores, right)
            examples = examples[:scored]
            results = pipeline.run_each(
                [example.record for example in examples], [example.options for example in examples]
            )
        finally:
            reporter.close()
    errors = [result for result in results if isinstance(result, NlpsuiteError)]
    if len(errors) == len(results):
        raise errors[0]
    outputs = [Output("") if isinstance(result, NlpsuiteError) else result.output for result in results]
    figures = pipeline.task.evaluate(outputs, [example.reference for example in examples], pipeline.options)
    made_by = {
        "precision": precision,
        "runtime": f"onnxruntime {onnxruntime.__version__}, {model.device.provider}",
    }
    failed = {"failed": len(errors)} if errors else {}
    measured = {**figures, "n": len(examples), **failed, **made_by}
    return Measurement(measured, pipeline.temperature, len(scores))
