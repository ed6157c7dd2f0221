"""What a task gives: an output, and the result that carries it from the pipeline to the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Output", "Result"]


@dataclass(frozen=True)
class Output:
    """One result of a task. ``str(output)`` is its text.

    Attributes:
        text: the result as text; for a classification, the label.
        label: the label of a classification.
        probabilities: of every label; they sum to 1.
        data: further JSON values that the task wants to give.
        notices: what the user should know about this output.
    """

    text: str
    label: str | None = None
    probabilities: Mapping[str, float] | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        from nlpsuite.tasks.notebook import output_html

        return output_html(self)


@dataclass
class Result:
    """An output and what it took.

    Attributes:
        prompt_tokens, completion_tokens: read and generated, over all parts.
        parts: prompts that were answered.
        finish: why the last text ended; see ``Completion.finish_reason``.
        seconds: wall time, without loading the model.
        first_token_seconds: until the first token of the first prompt; None for scoring.
        notices: what the user should know about the input's treatment.
        guard: what a guard found, as JSON values; None without one.
    """

    output: Output
    prompt_tokens: int = 0
    completion_tokens: int = 0
    parts: int = 0
    finish_reason: str = ""
    seconds: float = 0.0
    first_token_seconds: float | None = None
    notices: list[str] = field(default_factory=list)
    guard: dict[str, Any] | None = None

    def _repr_html_(self) -> str:
        from nlpsuite.tasks.notebook import result_html

        return result_html(self)
