"""What a classification got wrong: a confusion matrix, figures of each class, and reliability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nlpsuite.data.labels import split_label_set
from nlpsuite.evaluation.metrics.calibration import Bin, reliability
from nlpsuite.tasks.result import Output

__all__ = ["NO_LABEL", "ClassFigures", "LabelReport", "label_report", "label_set_report"]

NO_LABEL = "(none)"
"""Stands for the label of a row that failed, and for an answer that isn't a label."""


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
    """The answers by label.

    Attributes:
        labels: in the order of the matrix's rows.
        given: labels in the order of its columns; with ``NO_LABEL`` last where a row has none.
        matrix: rows whose reference is ``labels[i]`` and whose answer is ``given[j]``; empty where a row may have
            several labels.
        classes: figures of each label.
        bins: of confidence, of equal width; empty where no output has probabilities.
        without: outputs without probabilities, which are in no bin.
    """

    labels: tuple[str, ...]
    given: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    classes: tuple[ClassFigures, ...]
    bins: tuple[Bin, ...]
    without: int


def label_report(outputs: Sequence[Output], references: Sequence[str], labels: Iterable[str]) -> LabelReport:
    """Count the answers by reference and label.

    Args:
        labels: of the task, in its order; any other answer counts as no label.
    """
    known = list(dict.fromkeys(labels))
    answers = [output.answer if output.answer in known else NO_LABEL for output in outputs]
    pairs = Counter(zip(references, answers))
    columns = [*known, *([NO_LABEL] if NO_LABEL in answers else [])]
    matrix = tuple(tuple(pairs[wanted, given] for given in columns) for wanted in known)
    classes = []
    for i, label in enumerate(known):
        right, wanted, given = matrix[i][i], sum(matrix[i]), sum(row[i] for row in matrix)
        classes.append(_class_figures(label, right, given, wanted))
    sure = [(output, [wanted]) for output, wanted in zip(outputs, references) if output.probabilities]
    bins = reliability([output for output, _ in sure], [wanted for _, wanted in sure]) if sure else []
    return LabelReport(
        tuple(known), tuple(columns), matrix, tuple(classes), tuple(bins), len(outputs) - len(sure)
    )


def label_set_report(
    outputs: Sequence[Output], references: Sequence[str], labels: Iterable[str]
) -> LabelReport:
    """The same for rows with several labels or none: the figures of each label, without a confusion matrix."""
    known = tuple(dict.fromkeys(labels))
    pairs = [
        (set(split_label_set(output.answer)), set(split_label_set(wanted)))
        for output, wanted in zip(outputs, references)
    ]
    classes = tuple(
        _class_figures(
            label,
            sum(label in given and label in wanted for given, wanted in pairs),
            sum(label in given for given, _ in pairs),
            sum(label in wanted for _, wanted in pairs),
        )
        for label in known
    )
    return LabelReport(known, known, (), classes, (), sum(not output.probabilities for output in outputs))


def _class_figures(label: str, right: int, given: int, wanted: int) -> ClassFigures:
    precision, recall = right / given if given else 0.0, right / wanted if wanted else 0.0
    f1 = 2 * right / (given + wanted) if given + wanted else 0.0
    return ClassFigures(label, precision, recall, f1, wanted)
