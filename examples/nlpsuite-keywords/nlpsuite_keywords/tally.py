"""Count how often each keyword occurs in a .keys file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from nlpsuite import hookimpl
from nlpsuite.errors import NlpsuiteError
from nlpsuite_keywords.phrases import listed
from nlpsuite_keywords.reader import read_keys

__all__ = ["tally"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--count", default=10, show_default=True, help="Most keywords to print.")
def tally(file: Path, count: int) -> None:
    """Count the keywords in FILE, a .keys file, and print the most frequent ones."""
    total: Counter[str] = Counter()
    for _, row in read_keys(file):
        if isinstance(row, NlpsuiteError):
            raise row
        total.update(keyword.casefold() for keyword in listed(row["keywords"]))
    for keyword, number in total.most_common(count):
        click.echo(f"{number}  {keyword}")


@hookimpl
def nlpsuite_command(name: str) -> click.Command:
    return tally
