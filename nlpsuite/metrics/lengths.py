"""What every metric checks first."""

from __future__ import annotations

from collections.abc import Sequence

from nlpsuite.errors import InputInvalidError

__all__ = ["check_lengths"]


def check_lengths(outputs: Sequence[str], references: Sequence[str]) -> None:
    """Raises InputInvalidError unless there is one reference for each output, and at least one.

    A metric that cuts the longer of the two off would give a figure that looks perfect.
    """
    if len(outputs) != len(references):
        raise InputInvalidError(
            f"There are {len(outputs):,} outputs and {len(references):,} references.",
            hint="Give one reference answer for each output, in the same order.",
        )
    if not outputs:
        raise InputInvalidError("There is nothing to evaluate.", hint="Give at least one row.")
