"""``train lm``: from a corpus to a checkpoint directory, with baselines beside the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite import __version__
from nlpsuite.errors import OptionError
from nlpsuite.training.launch import finish_run, fit, open_run, save_model
from nlpsuite.training.report import Outcome, TrainReport, TrainReporter
from nlpsuite.training.run_directory import RunContext, default_run_directory
from nlpsuite.training.settings import LMSettings

if TYPE_CHECKING:
    from nlpsuite.training.lm import LMData
    from nlpsuite.training.tokens import Perplexity

__all__ = ["LmReport", "train_lm"]


@dataclass(frozen=True)
class LmReport(TrainReport):
    """What came out of ``train_lm``.

    Attributes:
        perplexities: of the held-out text, by the model and by the baselines.
    """

    perplexities: Mapping[str, Perplexity] = field(default_factory=dict)


def train_lm(
    data: str | Path | Sequence[str | Path] = (),
    *,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    reporter: TrainReporter | None = None,
    **settings: Any,
) -> LmReport:
    """Train a language model from scratch.

    Args:
        data: text files, folders, JSONL files, patterns, or ``-`` for standard input. May be left out to
            resume a run.
        output: directory of the run; by default in ``runs/``, named after the corpus and the architecture.
        resume: continue the run in ``output``; settings that are given must be those it was started with.
        overwrite: replace the run in ``output``.
        dry_run: only estimate what the run would take; keep nothing.
        reporter: follows the run.
        settings: fields of ``LMSettings``, such as ``minutes=10``.

    Raises:
        OptionError: an unknown setting or a value out of range; ``output`` exists.
        InputNotFoundError, InputInvalidError: the corpus can't be read or is too small.
        MissingExtraError: ``nlpsuite[train]`` isn't installed.
        TrainingError: the loss isn't finite, or memory ran out; the last checkpoint is kept.
        StorageError: the run's directory can't be written.
    """
    sources = [str(data)] if isinstance(data, str | Path) else [str(source) for source in data]
    if not sources and not resume:
        raise OptionError("No corpus is given.", hint="Name files or folders, or - for standard input.")
    if output is None:
        if not sources:
            raise OptionError("No run directory is given.", hint="Give one with -o RUN_DIR.")
        first = "stdin" if sources[0] == "-" else Path(sources[0]).stem
        output = default_run_directory(f"{first}-{settings.get('arch', LMSettings.arch)}")
    with open_run(
        Path(output), "lm", LMSettings, settings, sources, {},
        resume=resume, overwrite=overwrite, dry_run=dry_run, reporter=reporter,
    ) as context:  # fmt: skip
        return _train(context)


def _train(context: RunContext) -> LmReport:
    import torch

    from nlpsuite.models.language_module import build_module
    from nlpsuite.training.lm import LMRecipe, model_config, prepare_data
    from nlpsuite.training.tokens import tokenizer_files

    run, settings = context.run, context.settings
    if context.world.main:
        prepare_data(run.data, run.path / "data", settings)
    context.world.barrier()
    corpus = prepare_data(run.data, run.path / "data", settings)
    torch.manual_seed(settings.seed)
    module = build_module(model_config(settings, corpus.train.vocab_size, corpus.train.count))
    module.initialize()
    module.train()
    outcome = fit(context, LMRecipe(module, corpus, settings))
    if outcome is None or not outcome.finished:
        return LmReport(run.path, outcome, None)
    perplexities = {}
    if context.world.main:
        heldout = corpus.heldout
        perplexities = {settings.arch: heldout.perplexity(outcome.progress.best * heldout.count)}
        if settings.baselines:
            context.reporter.notice("Counting n-grams for the baselines")
            perplexities |= _baselines(corpus)
        files = tokenizer_files(corpus.tokenizer, None if module.config.recurrent else settings.context)
        save_model(run, module.config, files, _card(context, corpus, outcome, perplexities))
        figures = {name: perplexity.figures() for name, perplexity in perplexities.items()}
        finish_run(run, outcome, heldout_tokens=heldout.count, figures=figures)
    return LmReport(run.path, outcome, run.path / "model", perplexities)


def _baselines(corpus: LMData) -> dict[str, Perplexity]:
    """The perplexities of models that only count, on the same tokens."""
    from nlpsuite.training.ngram import interpolated_ngram, unigram

    train, heldout = corpus.train, corpus.heldout
    return {
        "unigram": heldout.perplexity(unigram(train.tokens, heldout.tokens, train.vocab_size)),
        "5-gram": heldout.perplexity(interpolated_ngram(train.tokens, heldout.tokens, train.vocab_size)),
    }


def _card(
    context: RunContext, corpus: LMData, outcome: Outcome, perplexities: Mapping[str, Perplexity]
) -> str:
    """README.md of the model: its origin, figures and limits."""
    rows = "\n".join(
        f"| {name} | {p.token:,.1f} | {p.word:,.1f} | {p.byte:.3f} |" for name, p in perplexities.items()
    )
    data = ", ".join(f"`{Path(name).name}`" for name in context.run.data)
    epochs = outcome.progress.tokens / corpus.train.count
    return f"""---
pipeline_tag: text-generation
tags: [nlpsuite]
---

# {context.run.path.resolve().name}

A language model ({context.settings.arch}) trained from scratch by nlpsuite {__version__} on {data}:
{corpus.train.count:,} tokens ({corpus.train.words:,} words), {epochs:.1f} epochs in {outcome.progress.step:,} steps.

Perplexity on {corpus.heldout.count:,} held-out tokens of the same corpus:

| model | per token | per word | per byte |
|---|---|---|---|
{rows}

It continues text in the style of its corpus. It doesn't follow instructions or know facts. Whoever trained it
chooses its license, within the terms of the corpus's.
"""
