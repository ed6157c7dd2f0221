"""``train adapter``: from examples to an adapter file, or to a checkpoint directory, measured as it will be run."""

from __future__ import annotations

import dataclasses
import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite import __version__
from nlpsuite.data.columns import Selection, parse_option_columns
from nlpsuite.data.examples import Example, examples_of
from nlpsuite.data.labels import with_label_map
from nlpsuite.data.sources import open_table
from nlpsuite.data.tables import Table
from nlpsuite.errors import InputInvalidError, NlpsuiteError, OptionError
from nlpsuite.files import atomic_directory, atomic_write_text, sha256_file
from nlpsuite.models.adapter import Adapter, AdapterInfo, save_adapter
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.models.merged import MergedCheckpoint
from nlpsuite.models.resolve import resolve_spec
from nlpsuite.options import by_field, make_options
from nlpsuite.plugins import find_task, load_task
from nlpsuite.runtime.tokenizer import Tokenizer
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.learned import complete_options
from nlpsuite.training.base import load_base
from nlpsuite.training.launch import finish_run, fit, open_run, save_model
from nlpsuite.training.report import Outcome, TrainReport, TrainReporter
from nlpsuite.training.run_directory import RunContext, default_run_directory
from nlpsuite.training.settings import AdapterSettings

if TYPE_CHECKING:
    from nlpsuite.training.adapter import PreparedExamples
    from nlpsuite.training.measure import Measurement

__all__ = ["AdapterReport", "train_adapter"]


@dataclass(frozen=True)
class AdapterReport(TrainReport):
    """What came out of ``train_adapter``.

    Attributes:
        task: what the base was adapted to.
        base: as it was given; None for the default model.
        figures: on held-out rows: ``validation_loss`` and, where the model could be run, what
            ``training.measure.measure`` returns.
    """

    task: str
    base: str | None
    figures: Mapping[str, Any] = field(default_factory=dict)


def train_adapter(
    task: str | None = None,
    data: str | Path | None = None,
    *,
    base: str | None = None,
    options: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    reporter: TrainReporter | None = None,
    **settings: Any,
) -> AdapterReport:
    """Train a task's adapter for a base, or with ``full=True`` all of the base's weights.

    The result is measured on held-out rows by the pipeline that ``nlpsuite.load`` builds, and the figures are
    written into the adapter's metadata or the checkpoint's card.

    Args:
        task: a name that ``nlpsuite list`` shows. May be left out, with ``data``, ``base`` and ``options``, to
            resume a run.
        data: a file of examples, or two text files whose lines belong together (``train.en,train.de``).
        base: as ``model`` of ``nlpsuite.load``, but not a bundle; None for the default model.
        options: of the task, over its ``adapter_options``; recorded in the adapter as its defaults.
        output: directory of the run; by default ``runs/TASK``.
        resume: continue the run in ``output``; what is given must be what it was started with.
        overwrite: replace the run in ``output``.
        dry_run: only estimate what the run would take; keep nothing.
        reporter: follows the run.
        settings: fields of ``AdapterSettings``, such as ``minutes=15``.

    Raises:
        OptionError: an unknown setting or option, or a value out of range; ``output`` exists.
        UnknownTaskError, PluginError: no such task, or it fails to load.
        InputNotFoundError, InputInvalidError: the data can't be read, or have too few examples.
        ModelNotFoundError, ModelUnavailableError, UnsupportedModelError: the base can't be used.
        MissingExtraError: ``nlpsuite[train]`` isn't installed.
        TrainingError: the loss isn't finite, or memory ran out; the last checkpoint is kept.
        StorageError: the run's directory can't be written.
    """
    extra: dict[str, Any] = {}
    if task is not None and data is not None:
        extra = _described(task, str(data), base, dict(options or {}), settings, resume=resume)
    elif not resume:
        raise OptionError("Training an adapter needs a task and data.", hint="Give --task and --data.")
    elif not (task is None and data is None and base is None and not options):
        raise OptionError(
            "Only some of the run's original arguments are given.",
            hint="To resume it, omit the task, its options, the data and the model, or give all of them.",
        )
    if output is None:
        if task is None:
            raise OptionError("No run directory is given.", hint="Give one with -o RUN_DIR.")
        output = default_run_directory(task)
    files = [] if data is None else [str(data)]
    with open_run(
        Path(output), "adapter", AdapterSettings, settings, files, extra,
        resume=resume, overwrite=overwrite, dry_run=dry_run, reporter=reporter,
    ) as context:  # fmt: skip
        return _Run(context).train()


def _described(
    task: str,
    data: str,
    base: str | None,
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    resume: bool,
) -> dict[str, Any]:
    """What describes a run beside its settings. Mistakes that show at once should leave no run behind."""
    chosen = make_options(AdapterSettings, dict(settings))
    table = _table(data, chosen)
    loaded = with_label_map(load_task(task), chosen.label_map)
    options = by_field(loaded.options, options)
    make_options(loaded.options, {**loaded.adapter_options, **(table.options or {}), **options})
    by_field(loaded.options, _option_columns(chosen))
    resolve_spec(base)
    # A resumed run compares the files with its own record.
    digests = {} if resume else {"data_sha256": _digests(table, _heldout_table(chosen))}
    return {"task": task, "base": base, "options": options, **digests}


def _table(data: str, settings: AdapterSettings) -> Table:
    reading = {name: getattr(settings, name) for name in ("format", "encoding", "delimiter", "escape")}
    return open_table(data, **reading)


def _heldout_table(settings: AdapterSettings) -> Table | None:
    return None if settings.heldout_data is None else _table(settings.heldout_data, settings)


def _digests(*tables: Table | None) -> list[str]:
    return [sha256_file(path) for table in tables if table for path in table.files]


def _option_columns(settings: AdapterSettings) -> dict[str, str]:
    return parse_option_columns(filter(None, settings.option_column.split(",")))


class _Run:
    """One run, from its recorded description."""

    def __init__(self, context: RunContext) -> None:
        self.context, self.run, self.settings = context, context.run, context.settings
        recorded = self.run.settings
        self.base, self.table = recorded["base"], _table(self.run.data[0], self.settings)
        self.heldout_table = _heldout_table(self.settings)
        self.sha256 = recorded["data_sha256"]
        if context.resume and _digests(self.table, self.heldout_table) != self.sha256:
            names = " or ".join(table.name for table in (self.table, self.heldout_table) if table)
            raise InputInvalidError(
                f"{names} has changed since the run was started.",
                hint="Restore the file to resume the run, or start a new one in another directory.",
            )
        task: Task[Any] = with_label_map(load_task(recorded["task"]), self.settings.label_map)
        # As a JSON round trip leaves them: what the adapter's file will say.
        options = {**task.adapter_options, **(self.table.options or {}), **recorded["options"]}
        self.task, self.options = complete_options(
            task,
            options,
            lambda unlabelled: (example.reference for example in self._read(unlabelled, self.table)),
        )

    def train(self) -> AdapterReport:
        base, fingerprint, examples, outcome = self._fit()
        if outcome is None or not outcome.finished:
            return AdapterReport(self.run.path, outcome, None, self.task.name, self.base)
        result = self.run.path / ("model" if self.settings.full else "adapter.safetensors")
        figures: dict[str, Any] = {"validation_loss": outcome.progress.best}
        if self.context.world.main:
            rows = len(examples.train) + (0 if self.heldout_table else len(examples.heldout))
            info = self._info(base, fingerprint, rows, figures)
            # Saved before it is measured, so that no failure can lose it.
            self._save(result, base, info)
            measured = self._measured(result, base, examples.heldout_examples)
            figures |= measured.figures
            info = dataclasses.replace(info, evaluation=figures, temperature=measured.temperature)
            if self.settings.full:
                atomic_write_text(result / "README.md", _card(info))
            else:
                self._save(result, base, info)
            finish_run(self.run, outcome, figures=figures, left_out=examples.left_out)
        return AdapterReport(self.run.path, outcome, result, self.task.name, self.base, figures)

    def _fit(self) -> tuple[Checkpoint, str, PreparedExamples, Outcome | None]:
        """Train. The model in torch is gone when this returns, which leaves its memory to the bundle."""
        import torch

        from nlpsuite.models.lora import add_lora
        from nlpsuite.training.adapter import AdapterRecipe

        settings = self.settings
        base, fingerprint, module = load_base(self.context, self.base)
        examples = self._examples(base.tokenizer_files())
        if examples.left_out:
            self.context.reporter.notice(
                f"{examples.left_out:,} examples with more than {settings.max_length:,} tokens are left out."
            )
        if not settings.full:
            torch.manual_seed(settings.seed)
            targets = () if settings.targets == "all" else [t.strip() for t in settings.targets.split(",")]
            add_lora(module, rank=settings.rank, alpha=settings.alpha, targets=targets)
        module.train()
        recipe = AdapterRecipe(module, examples, settings)
        return base, fingerprint, examples, fit(self.context, recipe)

    def _examples(self, tokenizer_files: Mapping[str, str]) -> PreparedExamples:
        from nlpsuite.training.adapter import ExampleEncoder, prepare_examples

        directory = self.run.path / "data" / "tokenizer"
        if self.context.world.main:
            with atomic_directory(directory, replace=True) as building:
                for name, text in tokenizer_files.items():
                    (building / name).write_text(text, encoding="utf-8")
        self.context.world.barrier()
        ids = json.loads(tokenizer_files["generation_config.json"])["eos_token_id"]
        end_ids = ids if isinstance(ids, list) else [ids]
        options = make_options(self.task.options, dict(self.options))
        encoder = ExampleEncoder(self.task, options, Tokenizer.open(directory), end_ids)
        heldout = [] if self.heldout_table is None else list(self._read(self.task, self.heldout_table))
        if self.heldout_table is not None and not heldout:
            raise InputInvalidError(
                f"{self.heldout_table.name} has no examples.", hint="Check --heldout-data."
            )
        return prepare_examples(list(self._read(self.task, self.table)), encoder, self.settings, heldout)

    def _read(self, task: Task[Any], table: Table) -> Iterator[Example]:
        """The examples of a table, as ``task`` reads them."""
        settings = self.settings
        columns = (settings.text_column,) if settings.text_column else ()
        asked = Selection(
            columns, reference=settings.reference_column or "", options=_option_columns(settings)
        )
        return examples_of(task, table, asked)

    def _save(self, result: Path, base: Checkpoint, info: AdapterInfo) -> None:
        """Write the best weights, as an adapter or a checkpoint directory."""
        from nlpsuite.training.checkpoints import read_weights

        if self.settings.full:
            save_model(self.run, base.config, base.tokenizer_files(), _card(info))
        else:
            weights = read_weights(self.run.best)
            matrices = {name: tensor.half().numpy() for name, tensor in weights.items()}
            save_adapter(result, info, matrices, int8=self.settings.storage == "int8")

    def _measured(self, result: Path, base: Checkpoint, heldout: Sequence[Example]) -> Measurement:
        """What ``measure`` returns; no figures, and a notice, where the result can't be run."""
        import torch

        from nlpsuite.training.measure import Measurement, measure

        settings, reporter = self.settings, self.context.reporter
        if not settings.scored_examples:
            return Measurement({})
        gc.collect()
        torch.cuda.empty_cache()  # onnxruntime can't use what torch holds; does nothing without CUDA
        try:
            return measure(
                open_checkpoint(result) if settings.full else MergedCheckpoint(base, Adapter.open(result)),
                self.task,
                self.options,
                heldout,
                scored=settings.scored_examples,
                workspace=self.run.path,
                device="cpu" if settings.device == "cpu" else "auto",
                threads=settings.threads,
                reporter=reporter,
            )
        except NlpsuiteError as error:
            reporter.notice(
                f"Only the loss is reported, because the result can't be run here. {error.message} {error.hint}\n"
                f"To measure it later: {self.run.resume_command}"
            )
            return Measurement({})

    def _info(self, base: Checkpoint, fingerprint: str, rows: int, figures: Mapping[str, Any]) -> AdapterInfo:
        plugin, settings = find_task(self.task.name), self.settings
        files = zip(self.table.files, self.sha256)  # without those held out
        return AdapterInfo(
            task=self.task.name,
            task_version=self.task.version,
            distribution=plugin.distribution,
            distribution_version=plugin.version,
            base=base.name,
            base_fingerprint=fingerprint,
            rank=settings.rank,
            alpha=settings.alpha,
            options=self.options,
            data=tuple(
                {"name": path.name, "sha256": sha256, "rows": rows, "license": settings.license}
                for path, sha256 in files
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
