"""nlpsuite: NLP applications as plugins on one language model.

import nlpsuite
print(nlpsuite.load("summarize")("A long text …"))

The functions below do what the commands of the same names do; docs/python.md has an example of each.
What a plugin needs beyond these names is in ``nlpsuite.plugins``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlpsuite.lazy import import_name

if TYPE_CHECKING:
    from nlpsuite.batch.run import JobReport as JobReport
    from nlpsuite.batch.score import score as score
    from nlpsuite.data.record import Record as Record
    from nlpsuite.errors import NlpsuiteError as NlpsuiteError
    from nlpsuite.evaluation.bias import BiasReport as BiasReport
    from nlpsuite.evaluation.bias import evaluate_bias as evaluate_bias
    from nlpsuite.evaluation.compare import compare as compare
    from nlpsuite.evaluation.perplexity import PerplexityReport as PerplexityReport
    from nlpsuite.evaluation.perplexity import evaluate_lm as evaluate_lm
    from nlpsuite.evaluation.report_comparison import Comparison as Comparison
    from nlpsuite.evaluation.report_evaluation import Evaluation as Evaluation
    from nlpsuite.evaluation.run import evaluate as evaluate
    from nlpsuite.evaluation.speed import SpeedReport as SpeedReport
    from nlpsuite.evaluation.speed import bench as bench
    from nlpsuite.export.export import ExportReport as ExportReport
    from nlpsuite.options import GenerationOptions as GenerationOptions
    from nlpsuite.options import Options as Options
    from nlpsuite.options import option as option
    from nlpsuite.plugins.hookspecs import hookimpl as hookimpl
    from nlpsuite.runtime.prompt import Completion as Completion
    from nlpsuite.runtime.prompt import Message as Message
    from nlpsuite.runtime.prompt import Prompt as Prompt
    from nlpsuite.runtime.prompt import Sampling as Sampling
    from nlpsuite.serve.app import create_app as create_app
    from nlpsuite.serve.app import serve as serve
    from nlpsuite.tasks.base import Task as Task
    from nlpsuite.tasks.export.export import export as export
    from nlpsuite.tasks.load import load as load
    from nlpsuite.tasks.pipeline import Pipeline as Pipeline
    from nlpsuite.tasks.result import Output as Output
    from nlpsuite.tasks.result import Result as Result
    from nlpsuite.training.run_adapter import AdapterReport as AdapterReport
    from nlpsuite.training.run_adapter import train_adapter as train_adapter
    from nlpsuite.training.run_lm import LmReport as LmReport
    from nlpsuite.training.run_lm import train_lm as train_lm

__version__ = "0.1.0"

# Public name to its module, which is imported at first use: `nlpsuite --help` must not wait for numpy.
_LAZY = {
    # What the command line does.
    "load": "nlpsuite.tasks.load",
    "score": "nlpsuite.batch.score",
    "evaluate": "nlpsuite.evaluation.run",
    "evaluate_lm": "nlpsuite.evaluation.perplexity",
    "evaluate_bias": "nlpsuite.evaluation.bias",
    "compare": "nlpsuite.evaluation.compare",
    "train_adapter": "nlpsuite.training.run_adapter",
    "train_lm": "nlpsuite.training.run_lm",
    "export": "nlpsuite.tasks.export.export",
    "bench": "nlpsuite.evaluation.speed",
    "serve": "nlpsuite.serve.app",
    "create_app": "nlpsuite.serve.app",
    # What these return or raise.
    "Pipeline": "nlpsuite.tasks.pipeline",
    "Output": "nlpsuite.tasks.result",
    "Result": "nlpsuite.tasks.result",
    "JobReport": "nlpsuite.batch.run",
    "Evaluation": "nlpsuite.evaluation.report_evaluation",
    "PerplexityReport": "nlpsuite.evaluation.perplexity",
    "BiasReport": "nlpsuite.evaluation.bias",
    "Comparison": "nlpsuite.evaluation.report_comparison",
    "AdapterReport": "nlpsuite.training.run_adapter",
    "LmReport": "nlpsuite.training.run_lm",
    "SpeedReport": "nlpsuite.evaluation.speed",
    "ExportReport": "nlpsuite.export.export",
    "NlpsuiteError": "nlpsuite.errors",
    # What a task is written with.
    "hookimpl": "nlpsuite.plugins.hookspecs",
    "Task": "nlpsuite.tasks.base",
    "Record": "nlpsuite.data.record",
    "Options": "nlpsuite.options",
    "GenerationOptions": "nlpsuite.options",
    "option": "nlpsuite.options",
    "Prompt": "nlpsuite.runtime.prompt",
    "Message": "nlpsuite.runtime.prompt",
    "Sampling": "nlpsuite.runtime.prompt",
    "Completion": "nlpsuite.runtime.prompt",
}

__all__ = ["__version__", *_LAZY]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    value = import_name(__name__, _LAZY, name)
    # `export` and `serve` are now the packages of these names, which importing the functions has bound here. They
    # are callable.
    return globals().setdefault(name, value)


def __dir__() -> list[str]:
    return sorted(__all__)
