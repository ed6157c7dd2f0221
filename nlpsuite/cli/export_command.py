"""``nlpsuite export``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from nlpsuite.cli.help import GroupedCommand, grouped
from nlpsuite.cli.task_commands import option_flags, prompt_flags
from nlpsuite.errors import OptionError
from nlpsuite.plugins import load_task

__all__ = ["command"]

_TASK = "nlpsuite.cli.export_command.task"


class _ExportCommand(GroupedCommand):
    """With ``--task`` the task's options are flags of the command, on its help page too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        name = _task_of(args)
        if name:
            ctx.meta[_TASK] = load_task(name)
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        task = ctx.meta.get(_TASK)
        return params if task is None else [*params, *option_flags(task), *prompt_flags()]


def _task_of(args: Sequence[str]) -> str:
    """The value of ``--task`` among arguments that aren't parsed yet; empty without one."""
    for arg, following in zip(args, [*args[1:], ""]):
        if arg == "--":
            break
        if arg.startswith("--task="):
            return arg.removeprefix("--task=")
        if arg == "--task" and not following.startswith("-"):
            return following
    return ""


def _flags() -> list[click.Parameter]:
    layouts = click.Choice(["slots", "portable"])
    return [
        click.Argument(["model"], required=False),
        *grouped("Bundle", [
            click.Option(["--adapter"], metavar="PATH", help="Merge this adapter into the weights; `none` leaves out the task's own."),
            click.Option(["--precision"], metavar="NAMES", default="int8", show_default=True,
                         help="Precision of the weights: fp32, fp16 (for CUDA and WebGPU), int8 or int4; several, "
                         "separated by commas, for a portable bundle with a graph of each."),
            click.Option(["--layout"], type=layouts,
                         help="Write for nlpsuite (slots) or for onnxruntime-genai, transformers.js and optimum (portable).  "
                         "[default: slots; with --task portable]"),
            click.Option(["--output", "-o"], metavar="DIR", help="Write the bundle here.  [default: exported/<model>-<precision>]"),
            click.Option(["--name"], metavar="NAME", help="Display name in the manifest.  [default: the model's own]"),
            click.Option(["--verify/--no-verify"], default=True, help="Compare the graph with torch.  [default: verify]"),
            click.Option(["--verify-with"], metavar="NAMES", default="",
                         help="Run the bundle with these programs too and compare: ort, genai, optimum, transformersjs, browser. "
                         "NAME=PATH names a Python or a node_modules directory."),
            click.Option(["--as", "form"], type=click.Choice(["bundle", "peft"]), default="bundle", show_default=True,
                         help="Write a bundle, or the adapter alone as a LoRA directory that peft and transformers read."),
            click.Option(["--overwrite"], is_flag=True, help="Replace an existing bundle or LoRA directory."),
        ]),
        *grouped("Task", [
            click.Option(["--task"], metavar="TASK",
                         help="Write task.json, with which other programs can do this task; its options become flags."),
            click.Option(["--golden-text", "golden_texts"], multiple=True, metavar="TEXT",
                         help="Use this text as a golden example, in place of the usual ones. Repeat for several."),
        ]),
    ]  # fmt: skip


@click.command(cls=_ExportCommand, params=_flags())
@click.pass_context
def command(ctx: click.Context, /, model: str | None, **values: Any) -> None:
    """Export MODEL (by default SmolLM2-135M-Instruct) as an ONNX bundle, and verify it.

    MODEL is a .gguf file, a Hugging Face directory, the directory of a training run or hf:owner/name.
    The adapter is a file from `nlpsuite train adapter`, a LoRA directory from peft or a LoRA .gguf file, trained on MODEL.

    \b
    nlpsuite export --precision int4
    nlpsuite export runs/my-lstm -o exported/my-lstm
    nlpsuite export --adapter runs/sentiment/adapter.safetensors
    nlpsuite export --adapter runs/sentiment --as peft -o sentiment-lora
    nlpsuite export hf:HuggingFaceTB/SmolLM2-360M-Instruct --layout portable --precision int8,int4,fp16

    With --task the bundle is made for one task, and task.json says in any language's terms how to do it:
    prompt, choices or decoding, labels, and golden examples to check a program with.

    \b
    nlpsuite export --task sentiment -o exported/sentiment
    nlpsuite export --task translate --from English --to German -o exported/en-de
    nlpsuite export --task summarize --method instruct --help
    nlpsuite export --task sentiment --precision int8,int4 --verify-with ort,transformersjs=node_modules
    """
    from nlpsuite.cli.progress import Progress
    from nlpsuite.tasks.export.export import export

    if values.pop("form") == "peft":
        click.echo(_export_peft(ctx, values))
        return
    named = values.pop("task")
    task = ctx.meta.get(_TASK) or (None if named is None else load_task(named))
    options = _task_options(task, values) if task else {}
    report = export(model, task=task, reporter=Progress(), **values, **options)
    for line in (*report.notices, report, *report.clients):
        click.echo(line, err=True)
    click.echo(report.bundle.path)


def _export_peft(ctx: click.Context, values: dict[str, Any]) -> Path:
    """Write the adapter alone. Raises OptionError for arguments that go with a bundle."""
    from nlpsuite.export.peft_export import export_peft

    useful = {"adapter", "output", "overwrite", "form"}
    for param in ctx.command.get_params(ctx):
        given = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if given and param.name not in useful:
            name = param.opts[0] if isinstance(param, click.Option) else param.opts[0].upper()
            raise OptionError(f"{name} has no effect with --as peft, which writes the adapter alone.")
    if values["adapter"] is None or values["output"] is None:
        raise OptionError("--as peft needs --adapter and --output.")
    return export_peft(values["adapter"], values["output"], overwrite=values["overwrite"])


def _task_options(task: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Remove the task's options from a command's values; returns those set by flags or configuration."""
    from nlpsuite.cli.flags import given_options
    from nlpsuite.config import read_configuration
    from nlpsuite.options import option_specs

    given = given_options(option_specs(task.options), values)
    return read_configuration().task_options(task.name, task.options) | given
