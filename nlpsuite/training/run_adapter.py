"""A whole run of ``train adapter``: examples to an adapter file, or to a checkpoint directory."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nlpsuite import __version__
from nlpsuite.data.columns import Selection, check_option_columns, parse_option_columns
from nlpsuite.data.examples import Example, examples_of
from nlpsuite.data.labels import with_label_map
from nlpsuite.data.tables import Table, open_table
from nlpsuite.errors import AdapterMismatchError, BundleCorruptError, InputInvalidError, OptionError
from nlpsuite.export.base import Base, Reporter, Silent, find_base, open_base
from nlpsuite.export.schemes import base_named
from nlpsuite.files import atomic_directory, atomic_write_text, sha256_file, storage_errors
from nlpsuite.models.adapter import AdapterInfo, fingerprint, save_adapter
from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.models.config import ModelConfig
from nlpsuite.models.language_module import LanguageModule, load_module
from nlpsuite.models.lora import add_lora
from nlpsuite.options import make_options
from nlpsuite.paths import bundles_dir
from nlpsuite.plugins import find_task, load_task
from nlpsuite.runtime.tokenizer import Tokenizer
from nlpsuite.tasks.base import Task
from nlpsuite.training.adapter import AdapterRecipe, EncodedExample, ExampleEncoder, split_examples
from nlpsuite.training.checkpoints import gathered
from nlpsuite.training.launch import RunContext, RunTarget, begin, drive, result_of
from nlpsuite.training.plot import draw_curves
from nlpsuite.training.settings import AdapterSettings
from nlpsuite.training.trainer import Evaluation, Outcome, TrainReporter, uses_bf16

__all__ = ["AdapterReport", "AdapterRequest", "train_adapter"]


@dataclass(frozen=True)
class AdapterRequest:
    """What is to be adapted to what.

    Attributes:
        task: a name that ``nlpsuite list`` shows.
        data: what ``open_table`` takes, but for standard input.
        base: as ``--model`` takes it; None for the default model.
        options: of the task, over its ``adapter_options``.
    """

    task: str
    data: str
    base: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class AdapterReport:
    """What came of a run.

    Attributes:
        request: what was adapted to what.
        outcome: how it ended; None after a dry run.
        result: the adapter's file or, after full training, the checkpoint directory.
        evaluation: of the weights that were kept.
    """

    request: AdapterRequest
    outcome: Outcome | None
    result: Path | None
    evaluation: Evaluation | None


def train_adapter(
    request: AdapterRequest | None,
    given: Mapping[str, Any],
    where: RunTarget,
    reporter: TrainReporter,
    fetching: Reporter | None = None,
) -> AdapterReport:
    """Train a task's adapter.

    Args:
        request: None to take a resumed run's own.
        given: settings (``AdapterSettings``) by name; the others have defaults.
        fetching: told of progress while the base is fetched.

    Raises:
        NlpsuiteError: its subclasses say what to do next.
    """
    extra: dict[str, Any] = {}
    data: list[str] = []
    if request is not None:
        settings = make_options(AdapterSettings, dict(given))
        table = _table(request.data, settings)
        _check(request, table, settings)  # what can be seen to be wrong should not leave a run behind
        extra = {"task": request.task, "base": request.base, "options": dict(request.options)}
        if not where.resume:
            extra["data_sha256"] = [sha256_file(path) for path in table.files]
        data = [request.data]
    with begin(where, "adapter", AdapterSettings, given, data, extra) as begun:
        recorded = begun.run.settings
        request = AdapterRequest(recorded["task"], begun.run.data[0], recorded["base"], recorded["options"])
        table = _table(request.data, begun.settings)
        _check_data(table, recorded["data_sha256"])
        task = with_label_map(load_task(request.task), begun.settings.label_map)
        # As a JSON round trip leaves them: what the adapter's file will say.
        options = {**task.adapter_options, **(table.options or {}), **request.options}
        base = _load(request.base, begun, fetching or Silent())
        _check_base(begun, base)
        return _train(begun, task, options, request, table, base, reporter)


def _table(data: str, settings: AdapterSettings) -> Table:
    return open_table(
        data,
        format=settings.format,
        encoding=settings.encoding,
        delimiter=settings.delimiter,
        escape=settings.escape,
    )


def _check(request: AdapterRequest, table: Table, settings: AdapterSettings) -> None:
    """Look at all that can be looked at without the base. Raises as ``train_adapter``."""
    task = load_task(request.task)
    make_options(task.options, {**task.adapter_options, **(table.options or {}), **request.options})
    with_label_map(task, settings.label_map)
    check_option_columns(task, _option_columns(settings))
    _found(request.base)


def _option_columns(settings: AdapterSettings) -> dict[str, str]:
    return parse_option_columns(filter(None, settings.option_column.split(",")))


def _check_data(table: Table, recorded: Sequence[str]) -> None:
    found = [sha256_file(path) for path in table.files]
    if found != recorded:
        raise InputInvalidError(
            f"{table.name} has changed since the run was started.",
            hint="Restore the file to go on with the run, or start a new one in another directory.",
        )


def _found(spec: str | None) -> Base:
    base = find_base(base_named(spec))
    if base is None:
        raise OptionError(
            f"{spec} is a bundle, made to be run; its weights can't be trained.",
            hint="Name the base it was made of: a .gguf file, a model directory, hf:owner/name.",
        )
    return base


@dataclass(frozen=True)
class _Base:
    """A base in memory: nothing of the checkpoint it came from is needed any more."""

    module: LanguageModule
    name: str
    license: str | None
    fingerprint: str
    tokenizer_files: dict[str, str]

    @property
    def config(self) -> ModelConfig:
        return self.module.config


def _load(spec: str | None, begun: RunContext, fetching: Reporter) -> _Base:
    settings, world = begun.settings, begun.world
    # Weights that stay as they are can be kept in the precision they are multiplied in; shards of
    # one layer must be of one type.
    half = uses_bf16(settings.precision, world.device) and not settings.full and not settings.fsdp
    with open_base(_found(spec), bundles_dir(), fetching, precision="fp32", keep=True) as checkpoint:
        _check_length(checkpoint, settings)
        return _Base(
            load_module(checkpoint, torch.bfloat16 if half else torch.float32),
            checkpoint.name,
            checkpoint.license,
            fingerprint(checkpoint),
            checkpoint.tokenizer_files(),
        )


def _check_length(checkpoint: Checkpoint, settings: AdapterSettings) -> None:
    context = checkpoint.config.context_length
    if settings.max_length > context:
        raise OptionError(
            f"max_length is {settings.max_length:,}; {checkpoint.name} sees {context:,} tokens.",
            hint=f"--max-length {context}",
        )


def _check_base(begun: RunContext, base: _Base) -> None:
    """Note the base that a run begins with; refuse another when it goes on."""
    note = begun.run.path / "data" / "base.json"
    if begun.world.main and not begun.where.resume:
        with storage_errors(note):
            note.parent.mkdir(exist_ok=True)
        atomic_write_text(note, json.dumps({"name": base.name, "fingerprint": base.fingerprint}) + "\n")
    begun.world.barrier()
    try:
        recorded = json.loads(note.read_text(encoding="utf-8"))["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleCorruptError(f"{note} is damaged: {error!r}.", hint="Start the run anew.") from None
    if recorded != base.fingerprint:
        raise AdapterMismatchError(
            f"The base {base.name} is no longer what the run {begun.run.path} was begun with "
            f"(weights {recorded[:12]}, now {base.fingerprint[:12]}).",
            hint="Restore its files to go on with the run, or start a new one in another directory.",
        )


def _train(
    begun: RunContext,
    task: Task[Any],
    options: Mapping[str, Any],
    request: AdapterRequest,
    table: Table,
    base: _Base,
    reporter: TrainReporter,
) -> AdapterReport:
    run, settings, world, module = begun.run, begun.settings, begun.world, base.module
    teacher = _teacher(begun, task, options, base)
    lessons, heldout, left_out = _lessons(table, teacher, settings)
    if world.main and left_out:
        reporter.notice(f"{left_out:,} examples with more than {settings.max_length:,} tokens are left out.")
    if not settings.full:
        torch.manual_seed(settings.seed)
        targets = () if settings.targets == "all" else [t.strip() for t in settings.targets.split(",")]
        add_lora(module, rank=settings.rank, alpha=settings.alpha, targets=targets)
    module.train()
    recipe = AdapterRecipe(module, teacher, lessons, heldout, settings)
    trainer, outcome = drive(begun, recipe, reporter)
    if outcome is None or outcome.reason in ("interrupted", "terminated"):
        return AdapterReport(request, outcome, None, None)
    evaluation = trainer.evaluate_best()
    weights = gathered(recipe.trainable(), world)
    result = run.path / ("model" if settings.full else "adapter.safetensors")
    if world.main:
        figures = {"validation_loss": evaluation.loss, **evaluation.metrics}
        info = _info(begun, task, options, table, base, figures, len(lessons) + len(heldout))
        if settings.full:
            with atomic_directory(result, replace=True) as building:
                arrays = {name: tensor.float().numpy() for name, tensor in weights.items()}
                write_checkpoint(building, base.config, arrays, base.tokenizer_files, card=_card(info))
        else:
            save_adapter(result, info, {name: tensor.half().numpy() for name, tensor in weights.items()})
        run.write_result({**result_of(outcome), "figures": figures, "left_out": left_out})
        draw_curves(run.metrics_path, run.path / "curves.png")
    world.barrier()
    return AdapterReport(request, outcome, result, evaluation)


def _teacher(begun: RunContext, task: Task[Any], options: Mapping[str, Any], base: _Base) -> ExampleEncoder:
    place = begun.run.path / "data" / "tokenizer"
    files = base.tokenizer_files
    if begun.world.main:
        with atomic_directory(place, replace=True) as building:
            for name, text in files.items():
                (building / name).write_text(text, encoding="utf-8")
    begun.world.barrier()
    end_ids = json.loads(files["generation_config.json"])["eos_token_id"]
    ends = end_ids if isinstance(end_ids, list) else [end_ids]
    tokenizer = Tokenizer.open(place)
    chosen = make_options(task.options, dict(options))
    return ExampleEncoder(task, chosen, tokenizer, _end_id(tokenizer, ends), tuple(ends))


def _end_id(tokenizer: Tokenizer, ends: Sequence[int]) -> int:
    """The end token of a turn: the one that the tokenizer calls its eos, if it is among them."""
    own = tokenizer.eos_id
    return own if own is not None and own in ends else ends[0]


def _lessons(
    table: Table, teacher: ExampleEncoder, settings: AdapterSettings
) -> tuple[list[EncodedExample], list[tuple[Example, EncodedExample]], int]:
    """Lessons to learn, those held out with their examples, and how many were too long."""
    text = (settings.text_column,) if settings.text_column else ()
    asked = Selection(text, reference=settings.reference_column or "", options=_option_columns(settings))
    examples = list(examples_of(teacher.task, table, asked))
    train, heldout = split_examples(examples, settings)
    lessons = [teacher.lesson(example) for example in train]
    kept = [lesson for lesson in lessons if len(lesson.ids) <= settings.max_length]
    pairs = [(example, teacher.lesson(example)) for example in heldout]
    short = [pair for pair in pairs if len(pair[1].ids) <= settings.max_length]
    if not kept or not short:
        raise InputInvalidError(
            f"Every example has more than {settings.max_length:,} tokens.", hint="Allow more: --max-length."
        )
    return kept, short, len(lessons) - len(kept) + len(pairs) - len(short)


def _info(
    begun: RunContext,
    task: Task[Any],
    options: Mapping[str, Any],
    table: Table,
    base: _Base,
    figures: Mapping[str, Any],
    rows: int,
) -> AdapterInfo:
    plugin, settings = find_task(task.name), begun.settings
    return AdapterInfo(
        task=task.name,
        task_version=task.version,
        distribution=plugin.distribution,
        distribution_version=plugin.version,
        base=base.name,
        base_fingerprint=base.fingerprint,
        rank=settings.rank,
        alpha=settings.alpha,
        options=dict(options),
        data=tuple(
            {"name": path.name, "sha256": sha256_file(path), "rows": rows, "license": settings.license}
            for path in table.files
        ),
        evaluation=dict(figures),
        license=base.license,
        created_by=f"nlpsuite {__version__}",
    )


def _card(info: AdapterInfo) -> str:
    """README.md of a base whose weights were all trained for one task."""
    figures = "\n".join(f"| {name} | {value} |" for name, value in info.evaluation.items())
    data = ", ".join(f"`{entry['name']}` ({entry['rows']:,} rows)" for entry in info.data)
    license = f"license: {info.license}\n" if info.license else ""
    return f"""---
{license}base_model: {info.base}
pipeline_tag: text-generation
tags: [nlpsuite]
---

# {info.base} for {info.task}

All weights of {info.base} were trained for the task `{info.task}` (version {info.task_version}) by {info.created_by}
on {data}, with the options `{json.dumps(dict(info.options))}`.

| on held-out rows | |
|---|---|
{figures}

It is meant for that task; at others it may be worse than its base.
"""
