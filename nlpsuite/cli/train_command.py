"""``nlpsuite train lm`` and ``nlpsuite train adapter``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from nlpsuite.cli.flags import flag, given_options
from nlpsuite.cli.help import HelpGroup
from nlpsuite.errors import MissingExtraError, OptionError
from nlpsuite.options import OptionSpec, option_specs
from nlpsuite.training.settings import AdapterSettings, LMSettings

__all__ = ["command"]


@click.group(cls=HelpGroup)
def command() -> None:
    """Train a language model, or adapt one to a task.

    \b
    nlpsuite train lm texts/ --minutes 10 -o runs/my-lm
    nlpsuite train adapter --task sentiment --data reviews.tsv --minutes 15 -o runs/reviews
    nlpsuite export runs/my-lm -o exported/my-lm
    torchrun --nproc-per-node 4 -m nlpsuite train lm texts/ --steps 5000 -o runs/my-lm

    Ctrl-C saves and ends; the same command with --resume goes on.
    """


def _run_flags() -> list[click.Parameter]:
    return [
        click.Option(["--output", "-o", "output"], metavar="RUN_DIR", type=click.Path(path_type=Path),
                     help="Directory of the run.  [default: in runs/, named after the corpus or the task]"),
        click.Option(["--resume"], is_flag=True, help="Go on with the run in RUN_DIR."),
        click.Option(["--overwrite"], is_flag=True, help="Replace the run in RUN_DIR."),
        click.Option(["--dry-run"], is_flag=True, help="Only say what the run would take."),
    ]  # fmt: skip


def _lm(data: tuple[str, ...], given: dict[str, Any], where: dict[str, Any]) -> int:
    from nlpsuite.cli.train import run_lm

    if not data and not where["resume"]:
        raise OptionError("No corpus is given.", hint="Name files or folders, or - for standard input.")
    first = "stdin" if data[:1] == ("-",) else Path(data[0]).stem if data else None
    arch = given.get("arch", LMSettings.arch)
    return run_lm(data, given, _placed(where, first and f"{first}-{arch}"))


def _adapter(
    task: str | None,
    data: str | None,
    base: str | None,
    task_options: tuple[str, ...],
    given: dict[str, Any],
    where: dict[str, Any],
) -> int:
    from nlpsuite.cli.train import run_adapter

    if (task is None or data is None) and not where["resume"]:
        raise OptionError("An adapter needs --task and --data.", hint="nlpsuite train adapter --help")
    if (task is None) != (data is None) or (task is None and (base is not None or task_options)):
        raise OptionError(
            "Only a part of what the run was begun with is given.",
            hint="Leave out --task, --data, --base and --option to go on with it, or give all as before.",
        )
    return run_adapter(task, data, base, task_options, given, _placed(where, task))


def _placed(where: dict[str, Any], name: str | None) -> dict[str, Any]:
    """With a directory for the run: the one given, or one of that name."""
    if where["output"] is None:
        if name is None:
            raise OptionError("No run is named.", hint="Name its directory: -o RUN_DIR.")
        where["output"] = Path("runs") / (re.sub(r"[^\w.-]+", "-", name).strip("-.") or "lm")
    return where


def _command(
    name: str,
    help_text: str,
    params: list[click.Parameter],
    specs: Sequence[OptionSpec],
    body: Callable[..., int],
) -> click.Command:
    def callback(**values: Any) -> int:
        given = given_options(specs, values)
        where = {key: values.pop(key) for key in ("output", "resume", "overwrite", "dry_run")}
        _check_extra()
        return body(**values, given=given, where=where)

    params = [*params, *_run_flags(), *(flag(spec) for spec in specs)]
    return click.Command(name, params=params, callback=callback, help=help_text)


def _check_extra() -> None:
    import importlib.util

    for package in ("torch", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                f"Training needs {package}.", hint="Install the extra: pip install 'nlpsuite[train]'."
            )


command.add_command(
    _command(
        "lm",
        """Train a language model from scratch on DATA: files, folders, JSONL, or - for standard input.

        \b
        nlpsuite train lm book.txt --minutes 10 -o runs/book
        nlpsuite train lm corpus/ --arch lstm --steps 2000 -o runs/lstm
        nlpsuite train lm -o runs/book --resume
        """,
        [click.Argument(["data"], nargs=-1, type=click.Path(allow_dash=True))],
        option_specs(LMSettings),
        _lm,
    )
)
command.add_command(
    _command(
        "adapter",
        """Adapt a model to a task with examples: rows of a text and the right answer.

        \b
        nlpsuite train adapter --task sentiment --data reviews.tsv --minutes 15 -o runs/reviews
        nlpsuite run sentiment --adapter runs/reviews/adapter.safetensors --text "What a film!"
        nlpsuite export --adapter runs/reviews/adapter.safetensors -o exported/reviews
        """,
        [
            click.Option(["--task"], metavar="TASK", help="What `nlpsuite list` shows."),
            click.Option(
                ["--data"], metavar="FILE", help=".csv, .tsv, .jsonl (.gz), or two texts: a.en,a.de"
            ),
            click.Option(["--base"], metavar="MODEL", help="As run's --model; by default the default model."),
            click.Option(
                ["--option", "task_options"],
                multiple=True,
                metavar="NAME=VALUE",
                help="An option of the task, such as to=French; may be repeated.",
            ),
        ],
        option_specs(AdapterSettings),
        _adapter,
    )
)
