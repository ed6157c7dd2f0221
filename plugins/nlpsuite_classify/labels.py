"""Labels as users write them, and as training data have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.plugins import LABEL_SEPARATORS

__all__ = ["find_labels", "parse_descriptions", "parse_labels", "write_labels"]

_MOST_LABELS = 500
# With fewer rows than this, each may well have a label of its own.
_FEW_ROWS = 20
_HOW = "Separate labels by commas, or by line breaks if they have commas in them."


@lru_cache  # asked for each text
def parse_labels(text: str, *, several: bool) -> tuple[str, ...]:
    """The labels that a text lists, separated by commas or, where it has several lines, by line breaks.

    Args:
        several: a text may have several of them or none, so that one label is a choice too.

    Raises:
        OptionError: there are too few; one is empty, given twice or has a semicolon where it would separate.
    """
    parts = text.strip().split("\n") if "\n" in text.strip() else text.split(",")
    labels = [" ".join(part.split()) for part in parts]
    if "" in labels:
        raise OptionError(f"labels is {text!r}, in which one label is empty.", hint=_HOW)
    if len(labels) < 2 and not several:
        raise OptionError(f"There is only one label, {labels[0]!r}.", hint=f"Give at least two. {_HOW}")
    seen: set[str] = set()
    for label in labels:
        if label.casefold() in seen:
            raise OptionError(
                f"The label {label!r} is given twice.", hint="Upper and lower case don't differ."
            )
        if several and ";" in label:
            raise OptionError(
                f"The label {label!r} has a semicolon, which separates labels where a text may have several.",
                hint="Give it another name.",
            )
        seen.add(label.casefold())
    return tuple(labels)


def write_labels(labels: Sequence[str]) -> str:
    """The labels as ``parse_labels`` reads them."""
    return ("\n" if any("," in label for label in labels) else ",").join(labels)


def parse_descriptions(text: str, labels: Sequence[str]) -> dict[str, str]:
    """Descriptions by label, of ``label = description`` entries separated by semicolons or line breaks.

    Raises:
        OptionError: an entry isn't of that form, or describes none of the labels or one twice.
    """
    known = {label.casefold(): label for label in labels}
    found: dict[str, str] = {}
    for entry in text.replace("\n", ";").split(";"):
        if not entry.strip():
            continue
        name, equals, description = (part.strip() for part in entry.partition("="))
        if not (equals and description):
            raise OptionError(
                f"The description {entry.strip()!r} isn't of the form LABEL = DESCRIPTION.",
                hint="For example: billing = invoices and payments; technical = errors and crashes",
            )
        label = known.get(" ".join(name.split()).casefold())
        if label is None:
            raise OptionError(
                f"{name!r} is described but is not a label.", hint=f"Labels: {', '.join(labels)}."
            )
        if label in found:
            raise OptionError(f"The label {label!r} is described twice.", hint="Describe it once.")
        found[label] = " ".join(description.split())
    return found


def find_labels(references: Iterable[str], label_map: Mapping[str, str], *, several: bool) -> tuple[str, ...]:
    """The labels that occur in training data, in alphabetical order.

    Spellings that differ in case are one label; the most frequent spelling counts.

    Args:
        references: the cells of the column of labels; several labels stand on lines of their own.
        label_map: what cells have in place of a label, case-folded, to the label.
        several: a text may have several labels, also separated by semicolons, bars or commas, whichever of these
            occurs first in this list; or none.

    Raises:
        InputInvalidError: too few labels, or so many that these can't be labels.
    """
    cells = list(references)
    separator = "\n"
    if several:
        separator = next((each for each in LABEL_SEPARATORS if any(each in cell for cell in cells)), "\n")
    spellings: Counter[str] = Counter()
    for cell in cells:
        for part in cell.split(separator):
            label = " ".join(part.split())
            if label:
                spellings[label_map.get(label.casefold(), label)] += 1
    labels: dict[str, str] = {}
    for label, _ in spellings.most_common():
        labels.setdefault(label.casefold(), label)
    if len(labels) < (1 if several else 2):
        only = f"only the label {next(iter(labels.values()))!r}" if labels else "no label"
        raise InputInvalidError(f"The examples have {only}.", hint="Give examples of at least two labels.")
    if len(labels) > _MOST_LABELS or (len(cells) >= _FEW_ROWS and len(labels) > len(cells) / 2):
        raise InputInvalidError(
            f"The examples have {len(labels):,} different labels in {len(cells):,} rows.",
            hint="Name the column of the labels with --reference-column; each label needs several examples.",
        )
    return tuple(sorted(labels.values(), key=str.casefold))
