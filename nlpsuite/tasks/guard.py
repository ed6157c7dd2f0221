"""Screening a task's outputs before they are passed on: the guard that a plugin provides, and its mode."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from nlpsuite.errors import OptionError, PluginError
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.tasks.result import Output, Result

__all__ = ["REFUSAL", "Flag", "Guard", "GuardMode", "OutputGuard", "Screening"]

GuardMode = Literal["warn", "block"]
REFUSAL = "[Blocked: the guard flagged this output.]"


@dataclass(frozen=True)
class Flag:
    """Something a guard objects to. It never holds the text itself, which may be a secret.

    Attributes:
        kind: what it is, such as ``email``.
        start, end: its place in the screened text, in characters; None for the text as a whole.
        field: of the output: ``text``, or ``data`` for further values, whose flags have no place.
        detail: more about it, such as the language of a word.
    """

    kind: str
    start: int | None = None
    end: int | None = None
    field: str = "text"
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Its values, without empty ones."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value not in (None, "")}


@dataclass(frozen=True)
class Screening:
    """What a guard found in one text.

    Attributes:
        flags: what it objects to; empty if the text may pass.
        toxicity: probability, between 0 and 1, that the text insults, threatens or hates; None if the
            model wasn't asked.
        notice: what the user should know about the screening itself.
    """

    flags: tuple[Flag, ...] = ()
    toxicity: float | None = None
    notice: str = ""


class Guard(ABC):
    """Base class of all guards. Guards are stateless: one instance serves many threads.

    Class attributes:
        name: also the name of the plugin's entry point.
        version: change it whenever results change.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"

    @abstractmethod
    def screen(self, texts: Sequence[str], model: LanguageModel) -> list[Screening]:
        """Screen each text, in order. Must take any text without raising; depends on its arguments alone.

        Args:
            model: the task's own, which a guard may ask as well.
        """

    def find(self, text: str) -> list[Flag]:
        """What can be found without a model; used for values beside an output's text."""
        return []


@dataclass(frozen=True)
class OutputGuard:
    """A guard, and what to do with the outputs it flags.

    With ``warn`` an output passes as it is, with a notice. With ``block`` a short refusal takes its place, its
    label, probabilities and data are dropped, and nothing is shown before it is screened.

    Attributes:
        mode: ``warn`` or ``block``.

    Raises:
        OptionError: another mode.
    """

    guard: Guard
    mode: GuardMode

    def __post_init__(self) -> None:
        if self.mode not in ("warn", "block"):
            raise OptionError(f"guard is {self.mode!r}, must be 'warn' or 'block'.")

    @property
    def blocks(self) -> bool:
        return self.mode == "block"

    def apply(self, results: Sequence[Result], model: LanguageModel) -> None:
        """Screen the results' outputs: sets ``guard``, adds notices, and replaces what is blocked.

        Raises:
            PluginError: the guard broke its contract.
        """
        # A label is one of the task's own words: the model need not judge it.
        generated = [result.output.text for result in results if result.output.label is None]
        screenings = self.guard.screen(generated, model) if generated else []
        if len(screenings) != len(generated):  # else something would pass unseen
            raise PluginError(
                f"The guard {self.guard.name!r} returned {len(screenings)} screenings for {len(generated)} texts.",
                hint="This is a bug in its plugin; without --guard the task runs.",
            )
        found = iter(screenings)
        for result in results:
            if result.output.label is None:
                self._judge(result, next(found))
            else:
                self._judge(result, Screening(tuple(self.guard.find(result.output.text))))

    def _judge(self, result: Result, screening: Screening) -> None:
        output = result.output
        further = [
            dataclasses.replace(flag, field="data", start=None, end=None)
            for value in dict.fromkeys(_strings(output.data))
            if value not in output.text
            for flag in self.guard.find(value)
        ]
        flags = [*screening.flags, *dict.fromkeys(further)]
        blocked = self.blocks and bool(flags)
        result.guard = {
            "mode": self.mode,
            "blocked": blocked,
            "flags": [flag.to_json() for flag in flags],
            "toxicity": screening.toxicity,
            "version": self.guard.version,
        }
        if screening.notice:
            result.notices.append(screening.notice)
        if flags:
            kinds = ", ".join(dict.fromkeys(flag.kind for flag in flags))
            result.notices.append(f"Guard: the output was {'blocked' if blocked else 'flagged'} for {kinds}.")
        if blocked:
            result.output = Output(REFUSAL)


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
