"""Screening what a task says before it is passed on: the part that a plugin fills, and the pipeline."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from nlpsuite.data.record import Record
from nlpsuite.errors import OptionError, PluginError
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.pipeline import Pipeline, Watch
from nlpsuite.tasks.result import Output, Result

__all__ = ["REFUSAL", "Flag", "Guard", "GuardMode", "GuardedPipeline", "Screening", "check_mode"]

GuardMode = Literal["warn", "block"]
REFUSAL = "[Blocked: the guard flagged this output.]"


@dataclass(frozen=True)
class Flag:
    """Something that a guard objects to. It never holds the text itself, which may be a secret.

    Attributes:
        kind: what it is, such as ``email``.
        start, end: where it stands in the screened text, in characters; None for the text as a whole.
        field: of the output: ``text``, or ``data`` for further values, whose flags have no place.
        detail: what more is to be said, such as the language of a word.
    """

    kind: str
    start: int | None = None
    end: int | None = None
    field: str = "text"
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Its values, without those that say nothing."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value not in (None, "")}


@dataclass(frozen=True)
class Screening:
    """What a guard found in one text.

    Attributes:
        flags: what it objects to; none where the text may pass.
        toxicity: probability, between 0 and 1, that the text insults, threatens or hates; None if the
            model was not or could not be asked.
        notice: what the user should know about the screening itself.
    """

    flags: tuple[Flag, ...] = ()
    toxicity: float | None = None
    notice: str = ""


class Guard(ABC):
    """Base of all guards. A guard holds no state: one instance serves many threads.

    Class attributes:
        name: also the name of the plugin's entry point.
        version: changes whenever results change.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"

    @abstractmethod
    def screen(self, texts: Sequence[str], model: LanguageModel) -> list[Screening]:
        """Screen each text, in order. Takes any text without raising; depends on its arguments alone.

        Args:
            model: that is loaded for the task; a guard may ask it too.
        """

    def find(self, text: str) -> list[Flag]:
        """What can be found without a model; for values that an output has beside its text."""
        return []


def check_mode(mode: str | None) -> None:
    """Raises OptionError if ``mode`` is neither ``warn`` nor ``block`` nor None."""
    if mode not in ("warn", "block", None):
        raise OptionError(f"guard is {mode!r}, must be 'warn' or 'block'.")


class GuardedPipeline(Pipeline):
    """A pipeline whose outputs are screened.

    With ``warn`` an output passes as it is, with a notice; with ``block`` a short refusal takes its
    place, and its label, probabilities and data are dropped. Then nothing is shown before it is screened.

    Args:
        mode: ``warn`` or ``block``.
    """

    def __init__(
        self,
        task: Task[Any],
        model: LanguageModel,
        guard: Guard,
        mode: GuardMode,
        max_parts: int = 64,
        **options: Any,
    ) -> None:
        check_mode(mode)
        super().__init__(task, model, max_parts, **options)
        self._guard, self._blocks = guard, mode == "block"

    def _drive(
        self, records: Sequence[Record], options: Sequence[Mapping[str, Any]], watch: Watch
    ) -> list[Result]:
        shown = None if self._blocks else watch.on_text
        results = super()._drive(records, options, dataclasses.replace(watch, on_text=shown))
        for result, screening in zip(results, self._screen([result.output for result in results])):
            self._judge(result, screening, watch.on_notice)
        if self._blocks and watch.on_text:
            watch.on_text(results[0].output.text)
        return results

    def _screen(self, outputs: Sequence[Output]) -> list[Screening]:
        """A screening for each output. A label is one of the task's own words: a model need not judge it."""
        generated = [output.text for output in outputs if output.label is None]
        screenings = self._guard.screen(generated, self.model) if generated else []
        if len(screenings) != len(generated):  # else something would pass unseen
            raise PluginError(
                f"The guard {self._guard.name!r} gave {len(screenings)} screenings for {len(generated)} texts.",
                hint="This is a fault of its plugin; without --guard the task runs.",
            )
        found = iter(screenings)
        return [
            next(found) if output.label is None else Screening(tuple(self._guard.find(output.text)))
            for output in outputs
        ]

    def _judge(self, result: Result, screening: Screening, on_notice: Callable[[str], None]) -> None:
        output = result.output
        further = [
            dataclasses.replace(flag, field="data", start=None, end=None)
            for value in dict.fromkeys(_strings(output.data))
            if value not in output.text
            for flag in self._guard.find(value)
        ]
        flags = [*screening.flags, *dict.fromkeys(further)]
        blocked = self._blocks and bool(flags)
        result.guard = {
            "mode": "block" if self._blocks else "warn",
            "blocked": blocked,
            "flags": [flag.to_json() for flag in flags],
            "toxicity": screening.toxicity,
            "version": self._guard.version,
        }
        if blocked:
            result.output = Output(REFUSAL)
            self.blocked += 1
        told = [screening.notice] if screening.notice else []
        if flags:
            kinds = ", ".join(dict.fromkeys(flag.kind for flag in flags))
            told.append(f"Guard: the output was {'blocked' if blocked else 'flagged'} for {kinds}.")
        for notice in told:
            result.notices.append(notice)
            on_notice(notice)


def _strings(value: Any) -> Iterator[str]:
    """All texts in JSON values, names of objects included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(key)
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)
