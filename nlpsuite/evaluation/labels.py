"""What a classification got wrong: a confusion matrix, figures of each class, and reliability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nlpsuite.evaluation.metrics.base import Prediction
from nlpsuite.evaluation.metrics.calibration import Bin, reliability

__all__ = ["NO_LABEL", "ClassFigures", "LabelReport", "label_report"]

# What a row that failed, or an answer that is no label, counts as.
NO_LABEL = "(none)"


@dataclass(frozen=True)
class ClassFigures:
    """How well one label was found: fractions, 0 where there is nothing to divide by.

    Attributes:
        n: rows whose reference it is.
    """

    label: str
    precision: float
    recall: float
    f1: float
    n: int


@dataclass(frozen=True)
class LabelReport:
    """What became of each label.

    Attributes:
        labels: in the order of the matrix's rows.
        given: labels in the order of its columns; with ``NO_LABEL`` last where a row has none.
        matrix: rows whose reference is ``labels[i]`` and whose prediction is ``given[j]``.
        classes: figures of each label.
        bins: of confidence, of equal width; none where no prediction has probabilities.
        without: predictions without probabilities, which are in no bin.
    """

    labels: tuple[str, ...]
    given: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    classes: tuple[ClassFigures, ...]
    bins: tuple[Bin, ...]
    without: int


def label_report(
    predictions: Sequence[Prediction], references: Sequence[str], labels: Sequence[str]
) -> LabelReport:
    """Count what was given where what was wanted.

    Args:
        labels: of the task, in its order; others that a prediction has count as no label.
    """
    known = list(dict.fromkeys(labels))
    pairs = Counter(
        (wanted, given.text if given.text in known else NO_LABEL)
        for given, wanted in zip(predictions, references)
    )
    columns = [*known, *([NO_LABEL] if any(given == NO_LABEL for _, given in pairs) else [])]
    matrix = tuple(tuple(pairs[wanted, given] for given in columns) for wanted in known)
    classes = []
    for i, label in enumerate(known):
        right, wanted, given = matrix[i][i], sum(matrix[i]), sum(row[i] for row in matrix)
        classes.append(
            ClassFigures(
                label,
                right / given if given else 0.0,
                right / wanted if wanted else 0.0,
                2 * right / (given + wanted) if given + wanted else 0.0,
                wanted,
            )
        )
    sure = [(given, [wanted]) for given, wanted in zip(predictions, references) if given.probabilities]
    bins = reliability([given for given, _ in sure], [wanted for _, wanted in sure]) if sure else []
    return LabelReport(
        tuple(known),
        tuple(columns),
        matrix,
        tuple(classes),
        tuple(bins),
        len(predictions) - len(sure),
    )
