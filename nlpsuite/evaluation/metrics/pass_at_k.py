"""pass@k: the arithmetic. Whether a sample passes is found by running it, elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import ClassVar

from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.evaluation.metrics.base import signed
from nlpsuite.evaluation.metrics.lengths import check_lengths
from nlpsuite.evaluation.metrics.means import RowMean
from nlpsuite.tasks.result import Output

__all__ = ["PassAtK", "pass_at_k"]


@dataclass(frozen=True)
class PassAtK(RowMean):
    """pass@k: the mean over the problems of the probability, 0 to 1, that at least one of k samples of a
    problem passes its tests, by the unbiased estimator of Chen et al. (2021, arXiv:2107.03374).

    An output's data holds ``passed``: true or false, or how many of its ``samples`` did. References are
    not read.

    Attributes:
        k: samples that one may try; every problem needs at least as many.

    Raises:
        OptionError: k is below 1.
    """

    k: int = 1

    name: ClassVar[str] = "pass_at_k"
    needs: ClassVar[str] = "data"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise OptionError(f"k of pass@k is {self.k}.", hint="It is 1 or more.")

    def signature(self, references: int | None = 1) -> str:
        return signed(references, k=self.k, estimator="unbiased")

    def check(self, outputs: Sequence[Output], references: Sequence[Sequence[str]]) -> None:
        check_lengths(outputs, references)
        for number, output in enumerate(outputs, 1):
            passed, samples = _counts(output)
            if passed is None or samples is None:
                raise InputInvalidError(
                    f"pass@k needs the outcome of running each output, and row {number:,} has none: no "
                    "'passed', true or false or a number of 'samples'.",
                    hint="Evaluate code with the flag that runs it.",
                )
            if not 0 <= passed <= samples:
                raise InputInvalidError(
                    f"Row {number:,} says that {passed} of {samples} samples passed.",
                    hint="'passed' is at most 'samples'.",
                )
            if samples < self.k:
                raise InputInvalidError(
                    f"pass@{self.k} needs {self.k} samples of each problem; row {number:,} has {samples}.",
                    hint="Draw more samples, or ask for a smaller k.",
                )

    def row(self, output: Output, references: Sequence[str]) -> float:
        passed, samples = _counts(output)
        assert passed is not None and samples is not None
        return 1 - comb(samples - passed, self.k) / comb(samples, self.k)


def _counts(output: Output) -> tuple[int | None, int | None]:
    """How many samples passed, of how many; None for what the data doesn't say as whole numbers."""
    passed, samples = output.data.get("passed"), output.data.get("samples", 1)
    whole = isinstance(samples, int) and not isinstance(samples, bool)
    return int(passed) if isinstance(passed, int) else None, samples if whole else None


pass_at_k = PassAtK()
