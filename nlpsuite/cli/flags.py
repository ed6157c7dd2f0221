"""Options declared once as dataclass fields, as flags of a command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from nlpsuite.options import OptionSpec

__all__ = ["flag", "given_options"]


def flag(spec: OptionSpec) -> click.Option:
    """The flag of an option. Its value is None unless the user gives it."""
    name = f"--{spec.public_name.replace('_', '-')}"
    help_text = _sentence(spec.help)
    if spec.type is bool:
        return click.Option([f"{name}/--no-{name[2:]}", spec.name], default=None, help=help_text)
    if spec.default not in (None, ""):
        text = str(spec.default)
        plain = text.isprintable() and text == text.strip() != ""
        help_text += f"  [default: {text if plain else repr(text)}]"
    kind: Any = click.Choice(spec.choices) if spec.choices else spec.type
    if spec.file:
        return click.Option([name, spec.name], metavar="TEXT|@FILE", callback=_text_or_file, help=help_text)
    return click.Option([name, spec.name], type=kind, default=None, help=help_text)


def _text_or_file(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A text, or the text of the file whose name follows ``@``; ``@@`` begins a text with ``@``."""
    if value is None or not value.startswith("@"):
        return value
    if value.startswith("@@"):
        return value[1:]
    from nlpsuite.data.text import read_text

    return read_text(Path(value[1:]).expanduser())


def _sentence(text: str) -> str:
    """Plugins declare help as a phrase or a sentence; ``--help`` shows sentences."""
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?", ")", "]")) else f"{text}."


def given_options(specs: Sequence[OptionSpec], values: dict[str, Any]) -> dict[str, Any]:
    """Remove the options from a command's values; returns those that the user gave, by name."""
    taken = {spec.name: values.pop(spec.name) for spec in specs}
    return {name: value for name, value in taken.items() if value is not None}
