"""What a task returns: an output, and the result that carries it from the pipeline to the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nlpsuite.errors import NlpsuiteError

__all__ = ["Output", "Result"]


@dataclass(frozen=True)
class Output:
    """One output of a task. ``str(output)`` is its text.

    Attributes:
        text: the output as text; for a classification, the label as people read it.
        label: the label of a classification, or several as ``billing; technical`` where a text may have several.
        probabilities: of every label; they sum to 1, unless a text may have several.
        data: further JSON values.
        notices: what the user should know about this output.
    """

    text: str
    label: str | None = None
    probabilities: Mapping[str, float] | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """What is compared with a reference answer: the label of a classification, else the text."""
        return self.text if self.label is None else self.label

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        from nlpsuite.tasks.notebook import output_html

        return output_html(self)


@dataclass
class Result:
    """An output and what it took, or why there is none.

    Attributes:
        output: empty for a record that failed.
        prompt_tokens, completion_tokens: read and generated, over all parts.
        parts: prompts that were answered.
        finish_reason: why the last text ended; see ``Completion.finish_reason``.
        seconds: wall time, without loading the model.
        first_token_seconds: until the first token of the first prompt; None for scoring.
        notices: what the user should know about how the input was handled.
        guard: what a guard found, as JSON values; None without one.
        error: ``type``, ``message`` and ``hint`` of what went wrong; None for a record that succeeded.
    """

    output: Output = Output("")
    prompt_tokens: int = 0
    completion_tokens: int = 0
    parts: int = 0
    finish_reason: str = ""
    seconds: float = 0.0
    first_token_seconds: float | None = None
    notices: list[str] = field(default_factory=list)
    guard: dict[str, Any] | None = None
    error: Mapping[str, str] | None = None

    @classmethod
    def failed(cls, error: NlpsuiteError) -> Result:
        """The result of a record that failed."""
        return cls(error={"type": type(error).__name__, "message": error.message, "hint": error.hint})

    @property
    def error_text(self) -> str:
        """The error's message and hint on one line; empty for a record that succeeded."""
        return " ".join(filter(None, (self.error["message"], self.error["hint"]))) if self.error else ""

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values without those that are empty: the same record gives the same values, so
        no times are among them.
        """
        if self.error is not None:
            return {"status": "error", "error": dict(self.error)}
        output: dict[str, Any] = {"text": self.output.text}
        if self.output.label is not None:
            output |= {
                "label": self.output.label,
                "probabilities": dict(self.output.probabilities or {}),
            }
        if self.output.data:
            output["data"] = dict(self.output.data)
        return {
            "status": "ok",
            "output": output,
            "finish_reason": self.finish_reason,
            "usage": {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens},
            **({"notices": self.notices} if self.notices else {}),
            **({"guard": self.guard} if self.guard is not None else {}),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Result:
        """A result from what ``to_json`` gave; other keys are ignored."""
        if values["status"] == "error":
            return cls(error=values["error"])
        return cls(
            Output(**values["output"]),
            **values["usage"],
            # Jobs of the first development version call it `finish`.
            finish_reason=values.get("finish_reason", values.get("finish", "")),
            notices=values.get("notices", []),
            guard=values.get("guard"),
        )

    def _repr_html_(self) -> str:
        from nlpsuite.tasks.notebook import result_html

        return result_html(self)
