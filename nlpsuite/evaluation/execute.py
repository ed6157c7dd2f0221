"""Running what a model wrote, for pass@k. Only where the user asked for it: see ``nlpsuite.evaluation.metrics.execution``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics.execution import humaneval_program, run_programs
from nlpsuite.evaluation.rows import EvaluatedRow

__all__ = ["with_outcomes"]

_COLUMNS = ("prompt", "test", "entry_point")


def with_outcomes(rows: Sequence[EvaluatedRow], workers: int = 0) -> list[EvaluatedRow]:
    """The rows with ``passed`` in their predictions' data, and why not where they failed.

    Args:
        rows: problems as HumanEval has them.
        workers: programs at a time; 0 is one for each core.

    Raises:
        InputInvalidError: a row is no such problem.
        OptionError: programs can't be run here.
    """
    for row in rows:
        if missing := [name for name in _COLUMNS if not isinstance(row.values.get(name), str)]:
            raise InputInvalidError(
                f"Row {row.index + 1:,} has no text in {', '.join(map(repr, missing))}.",
                hint="--execute runs problems with tests, as --dataset humaneval has them.",
            )
    answered = [row for row in rows if row.prediction is not None]
    programs = (
        humaneval_program(
            row.values["prompt"], row.answered.text, row.values["test"], row.values["entry_point"]
        )
        for row in answered
    )
    outcomes = {row.index: outcome for row, outcome in zip(answered, run_programs(programs, workers))}
    done = []
    for row in rows:
        if row.prediction is not None:
            outcome = outcomes[row.index]
            data = {**row.prediction.data, "passed": outcome.passed, "outcome": outcome.reason}
            row = dataclasses.replace(row, prediction=dataclasses.replace(row.prediction, data=data))
        done.append(row)
    return done
