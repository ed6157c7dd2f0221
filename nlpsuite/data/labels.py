"""What stands in a file for a label of a task: its usual forms, and those that a user maps."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import InputInvalidError, OptionError

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = [
    "LABEL_SEPARATORS",
    "join_labels",
    "parse_label_map",
    "read_label",
    "read_label_set",
    "split_label_set",
    "with_label_map",
]

LABEL_SEPARATORS = ("\n", ";", "|", ",")
"""What may stand between the labels of a text that has several, the likeliest separators first."""

_PREFIXES = ("__label__", "label_")  # of fastText and of Transformers
_LEAST_LETTERS = 3  # of an abbreviation
_BINARY = {"true": "1", "false": "0", "-1": "0"}


def read_label(value: str, labels: Mapping[str, str]) -> str | None:
    """The label that a value means; None if it means none.

    Case and surrounding blanks don't matter. Besides what ``labels`` lists, these are understood:
    ``1.0`` and ``+1`` for ``1``; ``LABEL_1``; an abbreviation of three letters or more; and, where 0 and 1
    are listed, ``true``, ``false`` and ``-1``.

    Args:
        labels: what stands in files, case-folded, to the label that it means.
    """
    value = value.strip().casefold()
    if value in labels:
        return labels[value]
    for prefix in _PREFIXES:
        value = value.removeprefix(prefix)
    number = value.removeprefix("+").removesuffix(".0") if value[-1:].isdigit() else value
    for form in (value, number, _BINARY.get(number, number)):
        if form in labels:
            return labels[form]
    meant = {
        label for name, label in labels.items() if name.startswith(value) and len(value) >= _LEAST_LETTERS
    }
    return meant.pop() if len(meant) == 1 else None


def join_labels(labels: Iterable[str]) -> str:
    """Several labels of one text as one text, as ``split_label_set`` reads it."""
    return "; ".join(labels)


def split_label_set(text: str, separator: str = ";") -> list[str]:
    """The labels that ``join_labels`` wrote; none of an empty text."""
    return [part.strip() for part in text.split(separator) if part.strip()]


def read_label_set(value: str, labels: Mapping[str, str]) -> str | None:
    """The labels that a value lists, joined in the order of ``labels``; None if it lists anything else.

    They may stand on lines of their own or be separated by semicolons, bars or commas. An empty value lists
    none.

    Args:
        labels: as for ``read_label``.
    """
    for parts in ([value], *(value.split(each) for each in LABEL_SEPARATORS if each in value)):
        found = {read_label(part, labels) for part in parts if part.strip()}
        if None not in found:
            return join_labels(label for label in dict.fromkeys(labels.values()) if label in found)
    return None


def parse_label_map(text: str) -> dict[str, str]:
    """The mapping that ``5=positive,1=negative`` writes.

    Raises:
        OptionError: it isn't of that form.
    """
    found = {}
    for pair in filter(None, text.split(",")):
        value, equals, label = pair.rpartition("=")
        if not (equals and value.strip() and label.strip()):
            raise OptionError(
                f"The label map has {pair!r}.", hint="Give VALUE=LABEL pairs, such as 5=positive,1=negative."
            )
        found[value.strip().casefold()] = label.strip()
    return found


def with_label_map(task: Task[Any], text: str) -> Task[Any]:
    """The task, which reads references and predictions by ``parse_label_map(text)`` too.

    Raises:
        OptionError: the task has no labels, or none that a value is mapped to.
    """
    mapping = parse_label_map(text)
    if not mapping:
        return task
    try:
        meant = {value: task.reference(label) for value, label in mapping.items()}
    except InputInvalidError as error:
        raise OptionError(error.message, hint=error.hint) from None
    if not (task.labels or task.open_labels):
        raise OptionError(f"{task.name} has no labels to map to.", hint="Omit the label map.")
    mapped = copy.copy(task)
    vars(mapped)["label_map"] = meant
    return mapped
