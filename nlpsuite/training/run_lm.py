"""A whole run of ``train lm``: corpus to checkpoint directory, with baselines beside the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nlpsuite import __version__
from nlpsuite.files import atomic_directory
from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.models.language_module import build_module
from nlpsuite.training.checkpoints import gathered
from nlpsuite.training.launch import RunContext, RunTarget, begin, drive, result_of
from nlpsuite.training.lm import LMData, LMRecipe, model_config, prepare_data
from nlpsuite.training.ngram import interpolated_ngram, unigram
from nlpsuite.training.plot import draw_curves
from nlpsuite.training.settings import LMSettings
from nlpsuite.training.tokens import Perplexity, tokenizer_files
from nlpsuite.training.trainer import Outcome, TrainReporter

__all__ = ["LMReport", "train_lm"]


@dataclass(frozen=True)
class LMReport:
    """What came of a run.

    Attributes:
        outcome: how it ended; None after a dry run.
        result: the checkpoint directory, if it came to its end.
        perplexities: of the held-out text by the model and, if asked for, by the baselines.
    """

    outcome: Outcome | None
    result: Path | None
    perplexities: Mapping[str, Perplexity]


def train_lm(
    data: Sequence[str], given: Mapping[str, Any], where: RunTarget, reporter: TrainReporter
) -> LMReport:
    """Train a language model from scratch.

    Args:
        data: text files, folders, JSONL files, or ``-``; empty to take a resumed run's own.
        given: settings (``LMSettings``) by name; the others have defaults.

    Raises:
        NlpsuiteError: its subclasses say what to do next.
    """
    with begin(where, "lm", LMSettings, given, list(data), {}) as begun:
        run, settings, world = begun.run, begun.settings, begun.world
        if world.main:
            prepare_data(run.data, run.path / "data", settings)
        world.barrier()
        corpus = prepare_data(run.data, run.path / "data", settings)
        torch.manual_seed(settings.seed)
        module = build_module(model_config(settings, corpus.train.vocab_size))
        module.initialize()
        module.train()
        recipe = LMRecipe(module, corpus, settings)
        trainer, outcome = drive(begun, recipe, reporter)
        if outcome is None or outcome.reason in ("interrupted", "terminated"):
            return LMReport(outcome, None, {})
        evaluation = trainer.evaluate_best()
        weights = gathered(recipe.trainable(), world)
        perplexities: dict[str, Perplexity] = {}
        if world.main:
            perplexities[settings.arch] = corpus.heldout.perplexity(evaluation.loss * corpus.heldout.count)
            if settings.baselines:
                reporter.notice("Counting the baselines' n-grams")
                perplexities |= _baselines(corpus)
            card = _card(begun, corpus, outcome, perplexities)
            with atomic_directory(run.path / "model", replace=True) as building:
                write_checkpoint(
                    building,
                    module.config,
                    {name: tensor.float().numpy() for name, tensor in weights.items()},
                    tokenizer_files(corpus.tokenizer, None if module.config.recurrent else settings.context),
                    card=card,
                )
            figures = {name: perplexity.figures() for name, perplexity in perplexities.items()}
            run.write_result(
                {**result_of(outcome), "heldout_tokens": corpus.heldout.count, "figures": figures}
            )
            draw_curves(run.metrics_path, run.path / "curves.png")
        world.barrier()
        return LMReport(outcome, run.path / "model", perplexities)


def _baselines(corpus: LMData) -> dict[str, Perplexity]:
    """What counting alone reaches on the same tokens."""
    train, heldout = corpus.train, corpus.heldout
    return {
        "unigram": heldout.perplexity(unigram(train.tokens, heldout.tokens, train.vocab_size)),
        "5-gram": heldout.perplexity(interpolated_ngram(train.tokens, heldout.tokens, train.vocab_size)),
    }


def _card(begun: RunContext, corpus: LMData, outcome: Outcome, perplexities: Mapping[str, Perplexity]) -> str:
    """README.md of the model: where it comes from, what it reached, what it can't do."""
    rows = "\n".join(
        f"| {name} | {p.token:,.1f} | {p.word:,.1f} | {p.byte:.3f} |" for name, p in perplexities.items()
    )
    data = ", ".join(f"`{Path(name).name}`" for name in begun.run.data)
    return f"""---
pipeline_tag: text-generation
tags: [nlpsuite]
---

# {begun.run.path.resolve().name}

A language model ({begun.settings.arch}) trained from scratch by nlpsuite {__version__} on {data}:
{corpus.train.count:,} tokens ({corpus.train.words:,} words), read {outcome.progress.tokens / corpus.train.count:.1f}
times in {outcome.progress.step:,} steps.

Perplexity on {corpus.heldout.count:,} held-out tokens of the same corpus:

| model | per token | per word | per byte |
|---|---|---|---|
{rows}

It continues text in the manner of its corpus. It follows no instructions and knows no facts; its license is
for whoever trained it to choose, as far as the license of the corpus allows.
"""
