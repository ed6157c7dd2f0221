"""Checks that every metric starts with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlpsuite.errors import InputInvalidError

__all__ = ["check_lengths", "check_references", "count_references"]


def check_lengths(outputs: Sequence[Any], references: Sequence[Any]) -> None:
    """Raises InputInvalidError unless there is one reference for each output, and at least one.

    A metric that truncates the longer of the two would give a figure that looks perfect.
    """
    if len(outputs) != len(references):
        raise InputInvalidError(
            f"There are {len(outputs):,} outputs and {len(references):,} references.",
            hint="Give one reference answer for each output, in the same order.",
        )
    if not outputs:
        raise InputInvalidError("There is nothing to evaluate.", hint="Give at least one row.")


def check_references(
    outputs: Sequence[Any], references: Sequence[Sequence[str]], most: int | None = None
) -> None:
    """The same for several references a row: raises InputInvalidError as well where a row has none, or more
    than ``most``.
    """
    check_lengths(outputs, references)
    for number, row in enumerate(references, 1):
        if not row:
            raise InputInvalidError(
                f"Row {number:,} has no reference.", hint="Leave out the rows that have no reference answer."
            )
        if most is not None and len(row) > most:
            raise InputInvalidError(
                f"Row {number:,} has {len(row)} references; this metric takes {most}.",
                hint="Choose one of them.",
            )


def count_references(references: Sequence[Sequence[str]]) -> int | None:
    """How many references each row has; None where that varies."""
    counts = {len(row) for row in references}
    return counts.pop() if len(counts) == 1 else None
