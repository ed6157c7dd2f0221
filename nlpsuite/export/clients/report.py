"""A client's answer beside nlpsuite's: what is the same, what differs at a near tie, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from nlpsuite.export.clients.job import MODES, Reference

__all__ = ["ClientReport", "Counts", "compare"]

_REPLACEMENT = "\ufffd"  # a part of a character, which libraries decode in different ways

Counts = dict[str, tuple[int, int]]
"""For each way of padding that a client offers, how many texts are the same, and how many differ at a near tie."""


@dataclass(frozen=True)
class ClientReport:
    """What a client computed with one graph of a bundle.

    Attributes:
        client: its name.
        precision: of the graph.
        status: ``same`` in all; ``near-tie``: other tokens or labels only where nlpsuite's lead is within the
            tolerance; ``tokenizer``: the same, but for texts that the client's own tokenizer reads or writes in another
            way; ``differs``; ``failed``; ``missing``: not installed.
        version: of the library.
        encoded: number of texts with the same tokens.
        texts: number of texts.
        runs: greedy texts.
        labels: labels; empty for a task without.
        logit_difference: largest difference of a logit after a prompt.
        tolerance: the largest difference that rounding explains, see ``Reference``.
        seconds: that the client took, as far as it says: ``load``, ``first_token`` of the first text.
        margin: largest lead of nlpsuite's token or label where a client has another.
        detail: the first difference, the client's own error, or how to install it.
    """

    client: str
    precision: str
    status: Literal["same", "near-tie", "tokenizer", "differs", "failed", "missing"]
    version: str = ""
    encoded: int = 0
    texts: int = 0
    runs: Counts = field(default_factory=dict)
    labels: Counts = field(default_factory=dict)
    logit_difference: float = 0.0
    tolerance: float = 0.0
    margin: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    detail: str = ""

    @property
    def good(self) -> bool:
        """Whether the client computes what nlpsuite does from the same tokens, or isn't there."""
        return self.status not in ("differs", "failed")

    def __str__(self) -> str:
        head = f"{self.client} ({self.precision})"
        if self.status == "missing":
            return f"{head}: not installed. {self.detail}"
        if self.status == "failed":
            return f"{head}: failed. {self.detail}"
        labels = f"; labels {_listed(self.labels)}" if self.labels else ""
        tie = f"; largest margin of a near tie {self.margin:.2g}" if self.margin else ""
        return (
            f"{head} {self.version}: {self.status}. Of {self.texts} texts: tokens {self.encoded}; greedy "
            f"{_listed(self.runs)}{labels}; logits differ by at most {self.logit_difference:.2g} (tolerance "
            f"{self.tolerance:.2g}){tie}. {self.detail}"
        ).rstrip()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _listed(counts: Counts) -> str:
    return ", ".join(
        f"{mode} {same}" + (f" + {ties} near ties" if ties > 1 else " + 1 near tie" if ties else "")
        for mode, (same, ties) in counts.items()
    )


def compare(client: str, precision: str, answer: Mapping[str, Any], reference: Reference) -> ClientReport:
    """A client's answer beside the reference.

    Args:
        answer: ``version``; ``ids``, the tokens of each text; for each way of padding ``logits`` that the job watches,
            and, where the client generates, ``runs``, the tokens generated, and ``continuations``, these as text (null:
            it can't decode them); ``seconds``, optional.
    """
    every = range(len(reference.ids))
    encoded = [i for i in every if answer["ids"][i] == reference.ids[i]]
    notes = [f"Text {i + 1} has other tokens." for i in every if i not in encoded]
    modes = [mode for mode in MODES if mode in answer["runs"]]
    read = [mode for mode in MODES if mode in answer["logits"]]
    notes += [note for mode in modes for note in _other_texts(mode, encoded, answer, reference)]
    verdicts = {
        mode: [_text_margin(answer["runs"][mode][i], i, reference) for i in encoded] for mode in modes
    }
    labels: dict[str, list[float | None]] = {}
    if reference.choices.labels:
        labels = {
            mode: [_label_margin(answer["logits"][mode][i], i, reference) for i in encoded] for mode in read
        }
    differences: dict[str, list[float | None]] = {
        mode: [_difference(answer["logits"][mode][i], reference.logits[i]) for i in encoded] for mode in read
    }
    faults = [
        f"Text {encoded[at] + 1}, {mode}: {what} by {value:.2g}."
        for what, found in (
            ("another token, although the right one leads", verdicts),
            ("another label, although the right one leads", labels),
            ("a logit is off", differences),
        )
        for mode, values in found.items()
        for at, value in enumerate(values)
        if value is not None and not value <= reference.tolerance  # as NaN isn't
    ]
    margins = [m for found in (verdicts, labels) for row in found.values() for m in row if m is not None]
    agrees: Any = "tokenizer" if notes else "near-tie" if margins else "same"
    return ClientReport(
        client, precision,
        status="differs" if faults or not encoded else agrees,
        version=str(answer["version"]),
        encoded=len(encoded),
        texts=len(every),
        runs=_counts(verdicts, reference.tolerance),
        labels=_counts(labels, reference.tolerance),
        logit_difference=max((value for row in differences.values() for value in row if value), default=0.0),
        tolerance=reference.tolerance,
        margin=max(margins, default=0.0),
        seconds=dict(answer.get("seconds", {})),
        detail=" ".join([*faults[:1], *notes[:1]]),
    )  # fmt: skip


def _counts(found: Mapping[str, Sequence[float | None]], tolerance: float) -> Counts:
    """Of margins, None where a client agrees: how many agree, and how many of the others are within the tolerance."""
    return {
        mode: (row.count(None), sum(margin is not None and margin <= tolerance for margin in row))
        for mode, row in found.items()
    }


def _text_margin(found: Sequence[int], i: int, reference: Reference) -> float | None:
    """The lead of the first token that a client has another one for; None if its text is the same."""
    expected = reference.generated[i]
    if list(found) == expected:
        return None
    pairs = enumerate(zip(expected, found))
    at = next((k for k, (ours, theirs) in pairs if ours != theirs), min(len(expected), len(found)))
    return reference.margins[i][at]


def _label_margin(logits: Sequence[float], i: int, reference: Reference) -> float | None:
    """The lead of the label that a client has another one for; None if its label is the same."""
    label, lead = reference.choices.label(reference.logits[i])
    return None if reference.choices.label(logits)[0] == label else lead


def _difference(found: Sequence[float], expected: Sequence[float]) -> float:
    """The largest difference; infinite if a value isn't a number."""
    differences = [abs(ours - theirs) for ours, theirs in zip(expected, found)]
    return max(difference if difference == difference else float("inf") for difference in differences)


def _other_texts(
    mode: str, encoded: Sequence[int], answer: Mapping[str, Any], reference: Reference
) -> Iterator[str]:
    for i in encoded:
        same_tokens = answer["runs"][mode][i] == reference.generated[i]
        expected, found = reference.continuations[i], answer["continuations"][mode][i]
        if same_tokens and found != expected and _REPLACEMENT not in expected:
            yield f"Text {i + 1}, {mode}: its tokens are decoded as {found!r}, not as {expected!r}."
