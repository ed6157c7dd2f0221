"""Running the programs that a model wrote, for pass@k, and only on request. See
``nlpsuite.evaluation.metrics.execution``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics.execution import (
    Execution,
    humaneval_program,
    infilled_program,
    run_programs,
)
from nlpsuite.evaluation.rows import EvaluatedRow

__all__ = ["with_outcomes"]

_COLUMNS = ("prompt", "test", "entry_point")


def with_outcomes(rows: Sequence[EvaluatedRow], workers: int = 0) -> list[EvaluatedRow]:
    """The rows with ``passed`` and ``outcome``, the reason of a failure, in their outputs' data.

    Args:
        rows: problems in the form of HumanEval; those with a ``suffix`` have a gap before it.
        workers: programs at a time; 0 for one per core.

    Raises:
        InputInvalidError: a row isn't such a problem.
        OptionError: programs can't be run on this system.
    """
    for row in rows:
        if missing := [name for name in _COLUMNS if not isinstance(row.values.get(name), str)]:
            raise InputInvalidError(
                f"Row {row.index + 1:,} has no text in {', '.join(map(repr, missing))}.",
                hint="--execute needs problems with tests, such as those of --dataset humaneval.",
            )
    outcomes = iter(run_programs((_program(row) for row in rows if not row.failed), workers))
    return [row if row.failed else _with_outcome(row, next(outcomes)) for row in rows]


def _program(row: EvaluatedRow) -> str:
    prompt, test, entry_point = (row.values[name] for name in _COLUMNS)
    suffix = row.values.get("suffix")
    if isinstance(suffix, str):
        return infilled_program(prompt, row.output.text, suffix, test, entry_point)
    return humaneval_program(prompt, row.output.text, test, entry_point)


def _with_outcome(row: EvaluatedRow, outcome: Execution) -> EvaluatedRow:
    data = {**row.output.data, "passed": outcome.passed, "outcome": outcome.reason}
    result = replace(row.result, output=replace(row.output, data=data))
    return replace(row, result=result)
