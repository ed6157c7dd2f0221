"""``nlpsuite train lm`` and ``nlpsuite train adapter``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from nlpsuite.cli.flags import flag, given_options
from nlpsuite.cli.help import GroupedCommand, HelpGroup, grouped
from nlpsuite.errors import NlpsuiteError
from nlpsuite.options import OptionSpec, option_specs
from nlpsuite.training.settings import AdapterSettings, LMSettings, LoopSettings

__all__ = ["command"]

_HEADINGS = {
    "Budget": "steps minutes evaluations patience save_steps",
    "Optimizer": "lr warmup final_lr optimizer weight_decay beta2 clip dropout batch_tokens accumulate seed",
    "Machine": "device precision compile gradient_checkpointing threads fsdp",
}


@click.group(cls=HelpGroup)
def command() -> None:
    """Train a language model, or adapt one to a task.

    \b
    nlpsuite train lm texts/ --minutes 10 -o runs/my-lm
    nlpsuite train adapter --task sentiment --data reviews.tsv --minutes 15 -o runs/reviews
    nlpsuite export runs/my-lm -o exported/my-lm
    torchrun --nproc-per-node 4 -m nlpsuite train lm texts/ --steps 5000 -o runs/my-lm

    Ctrl-C saves and stops; the same command with --resume continues.
    """


def _params(own: list[click.Parameter], heading: str, settings: type[LoopSettings]) -> list[click.Parameter]:
    """Flags of a command: its own, those of every run, and its settings by heading."""
    run: list[click.Parameter] = [
        click.Option(["--output", "-o", "output"], metavar="RUN_DIR", type=click.Path(path_type=Path),
                     help="Directory of the run.  [default: in runs/, named after the corpus or the task]"),
        click.Option(["--resume"], is_flag=True, help="Continue the run in RUN_DIR."),
        click.Option(["--overwrite"], is_flag=True, help="Replace the run in RUN_DIR."),
        click.Option(["--dry-run"], is_flag=True, help="Only estimate what the run would take."),
    ]  # fmt: skip
    flags = {spec.name: flag(spec) for spec in option_specs(settings)}
    shared = {title: [flags.pop(name) for name in names.split()] for title, names in _HEADINGS.items()}
    params = [*own, *grouped("Run", run), *grouped(heading, list(flags.values()))]
    return params + [option for title, options in shared.items() for option in grouped(title, options)]


class _AdapterCommand(GroupedCommand):
    """Takes the options of the task that ``--task`` names as flags, as ``run`` does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        task = next((value for name, value in zip(args, args[1:]) if name == "--task"), None)
        task = next((arg.partition("=")[2] for arg in args if arg.startswith("--task=")), task)
        try:
            ctx.obj = _TaskFlags(task, {param.name for param in self.params}) if task else None
        except NlpsuiteError:
            if not ctx.resilient_parsing:  # completion goes on without them
                raise
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        if not isinstance(ctx.obj, _TaskFlags):
            return params
        place = [param.name for param in params].index("model") + 1
        return params[:place] + ctx.obj.flags + params[place:]


class _TaskFlags:
    """The options of a task as flags; one whose name is taken by a flag of training is called ``--task-NAME``."""

    def __init__(self, task: str, taken: set[str | None]) -> None:
        from nlpsuite.plugins import load_task

        self._specs: dict[str, OptionSpec] = {}
        for spec in option_specs(load_task(task).options):
            name = f"task_{spec.name}" if spec.name in taken else spec.name
            self._specs[name] = spec
        options = [flag(dataclasses.replace(spec, name=name)) for name, spec in self._specs.items()]
        self.flags = grouped(f"Options of {task}", options)

    def given(self, values: dict[str, Any]) -> dict[str, Any]:
        """Remove the task's options from a command's values; returns those that the user gave, by name."""
        taken = {spec.name: values.pop(name) for name, spec in self._specs.items()}
        return {name: value for name, value in taken.items() if value is not None}


def _settings(cls: type[LoopSettings], values: dict[str, Any]) -> dict[str, Any]:
    """A command's values with only those settings that the user gave."""
    return {**given_options(option_specs(cls), values), **values}


@click.pass_context
def _lm(ctx: click.Context, /, **values: Any) -> int:
    from nlpsuite.cli.train import run_lm

    return run_lm(**_settings(LMSettings, values))


@click.pass_context
def _adapter(ctx: click.Context, /, **values: Any) -> int:
    from nlpsuite.cli.train import run_adapter

    options = ctx.obj.given(values) if isinstance(ctx.obj, _TaskFlags) else {}
    return run_adapter(options=options, **_settings(AdapterSettings, values))


command.add_command(
    GroupedCommand(
        "lm",
        callback=_lm,
        params=_params(
            [click.Argument(["data"], nargs=-1, type=click.Path(allow_dash=True))],
            "Model and corpus",
            LMSettings,
        ),
        help="""Train a language model from scratch on DATA: files, folders, JSONL, or - for standard input.

        \b
        nlpsuite train lm book.txt --minutes 10 -o runs/book
        nlpsuite train lm corpus/ --arch lstm --steps 2000 -o runs/lstm
        nlpsuite train lm -o runs/book --resume
        """,
    )
)
command.add_command(
    _AdapterCommand(
        "adapter",
        callback=_adapter,
        params=_params(
            grouped(
                "Task, data and model",
                [
                    click.Option(["--task"], metavar="TASK", help="Task to adapt to; `nlpsuite list` shows them. "
                                 "Its options become flags: add --help to see them."),
                    click.Option(["--data"], metavar="FILE",
                                 help="Examples: .csv, .tsv, .jsonl (.gz), or two text files as in a.en,a.de."),
                    click.Option(["--model"], metavar="MODEL",
                                 help="Model to adapt: .gguf, checkpoint directory or hf:owner/name.  "
                                 "[default: the default model]"),
                ],
            ),
            "Adapter and examples",
            AdapterSettings,
        ),
        help="""Adapt a model to a task with examples: rows of a text and the right answer.

        \b
        nlpsuite train adapter --task sentiment --data reviews.tsv --minutes 15 -o runs/reviews
        nlpsuite train adapter --task translate --to French --data train.en,train.fr -o runs/en-fr
        nlpsuite run sentiment --adapter runs/reviews/adapter.safetensors --text "What a film!"
        nlpsuite export --adapter runs/reviews/adapter.safetensors -o exported/reviews
        """,
    )
)  # fmt: skip
