"""``nlpsuite eval``: each command is in ``eval_NAME.py``."""

from __future__ import annotations

import click

from nlpsuite.cli.lazy import LazyGroup

__all__ = ["command"]

_COMMANDS = {
    "bias": "Measure how much a model's answers change with the group of a person.",
    "lm": "Measure how well a model foretells texts: perplexity, bits per byte.",
}


@click.command(cls=LazyGroup, commands_table=_COMMANDS, module="nlpsuite.cli.eval_{}")
def command() -> None:
    """Measure what a model does.

    \b
    nlpsuite eval bias
    nlpsuite eval bias --model ./my-bundle --json
    """
