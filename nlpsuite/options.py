"""A task's options: declared once, usable as CLI flags, Python keywords, configuration keys and JSON.

@dataclass(frozen=True)
class Options(GenerationOptions):
    length: Literal["short", "long"] = option("short", "Length of the summary.")
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from nlpsuite.errors import OptionError
from nlpsuite.runtime.prompt import Prompt, Sampling

__all__ = [
    "RESERVED_OPTIONS",
    "GenerationOptions",
    "OptionSpec",
    "Options",
    "by_field",
    "find_option",
    "make_options",
    "option",
    "option_specs",
]

RESERVED_OPTIONS = frozenset(
    "files text texts encoding json as_json output overwrite help debug no_plugins model adapter precision device "
    "threads max_parts prompt_file prompt_template shots max_shots guard task name layout verify verify_with golden_texts override reporter on_text on_notice cancelled".split()
)
"""Names that no option of a task may have: every task's command, ``load`` and pipelines use them."""

_T = TypeVar("_T")
_O = TypeVar("_O", bound="Options")


def option(default: _T, help: str, *, file: bool = False) -> _T:
    """Declare an option of a task: a dataclass field with a help text.

    Args:
        file: for a text that may be long; on the command line ``@FILE`` stands for the text of a file.
    """
    field: _T = dataclasses.field(default=default, metadata={"help": help, "file": file})
    return field


@dataclass(frozen=True)
class Options:
    """Base of every task's options; a frozen dataclass of fields made with ``option``."""


@dataclass(frozen=True)
class GenerationOptions(Options):
    """Options of every generating task. None leaves the choice to the task."""

    max_tokens: int | None = option(None, "Generate at most this many tokens.")
    temperature: float | None = option(None, "Randomness of sampling; 0 always takes the most likely token.")
    top_k: int | None = option(None, "Sample from the K most likely tokens only; 0 turns this off.")
    top_p: float | None = option(
        None, "Sample from the most likely tokens whose probabilities sum to P; 1 turns this off."
    )
    min_p: float | None = option(
        None, "Drop tokens less likely than this fraction of the most likely one; 0 turns this off."
    )
    repetition_penalty: float | None = option(
        None, "Make words that were already generated less likely; 1 turns this off."
    )
    seed: int | None = option(None, "Seed for sampling; the same seed gives the same text.")
    beams: int | None = option(None, "Write this many texts side by side and take the likeliest.")

    def apply(self, prompt: Prompt) -> Prompt:
        """The prompt with the user's settings in place of the task's own.

        Raises:
            OptionError: a value out of range.
        """
        given = {f.name: getattr(self, f.name, None) for f in dataclasses.fields(Sampling)}
        if (self.beams or 1) > 1 and self.temperature is None:
            given["temperature"] = 0.0  # a task that samples is asked to search
        sampling = dataclasses.replace(prompt.sampling, **{k: v for k, v in given.items() if v is not None})
        if self.max_tokens is None:
            return dataclasses.replace(prompt, sampling=sampling)
        # The user's length overrides the task's own idea of where to stop.
        return dataclasses.replace(
            prompt, sampling=sampling, max_tokens=self.max_tokens, sentence_end_after=None
        )


@dataclass(frozen=True)
class OptionSpec:
    """What a front end needs to know about one option.

    Attributes:
        name: of the dataclass's field.
        type: ``bool``, ``int``, ``float`` or ``str``.
        choices: the values allowed; empty allows all of the type.
        file: on the command line ``@FILE`` stands for the text of a file.
    """

    name: str
    type: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    file: bool = False

    @property
    def public_name(self) -> str:
        """As users know it: ``from`` for the field ``from_``, whose underscore only keeps it apart from Python's
        keyword."""
        return self.name.rstrip("_")


def option_specs(cls: type[Options]) -> tuple[OptionSpec, ...]:
    """The options a class declares, its own first and inherited ones after.

    Raises:
        TypeError: an option has a type that options can't have.
    """
    return _specs(typing.cast(Any, cls))  # mypy takes a dataclass' __hash__ for its class's


@functools.cache  # asked for each row of a job; a class's options never change
def _specs(cls: Any) -> tuple[OptionSpec, ...]:
    hints = typing.get_type_hints(cls)
    specs = [_spec(field, hints[field.name]) for field in dataclasses.fields(cls)]
    generates = issubclass(cls, GenerationOptions)
    inherited = {f.name for f in dataclasses.fields(GenerationOptions)} if generates else set()
    return tuple(sorted(specs, key=lambda spec: spec.name in inherited))


def _spec(field: dataclasses.Field[Any], hint: Any) -> OptionSpec:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    choices: tuple[str, ...] = ()
    if typing.get_origin(hint) is Literal:
        choices, hint = typing.get_args(hint), str
    if hint not in (bool, int, float, str):
        raise TypeError(
            f"option {field.name!r} has type {hint!r}; use bool, int, float, str or a Literal of strings"
        )
    help, file = field.metadata.get("help", ""), field.metadata.get("file", False)
    return OptionSpec(field.name, hint, field.default, help, choices, file)


@functools.cache
def _by_name(cls: Any) -> dict[str, OptionSpec]:
    specs = option_specs(cls)
    return {spec.public_name: spec for spec in specs} | {spec.name: spec for spec in specs}


def find_option(cls: type[Options], name: str) -> OptionSpec:
    """The option of a name, which may be the public one or the field's.

    Raises:
        OptionError: there is none; suggests a similar one or lists all.
    """
    if found := _by_name(typing.cast(Any, cls)).get(name):
        return found
    names = [spec.public_name for spec in option_specs(cls)]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Options: {', '.join(names) or 'none'}."
    raise OptionError(f"There is no option {name!r}.", hint=hint)


def by_field(cls: type[Options], values: Mapping[str, _T]) -> dict[str, _T]:
    """A mapping from options, named in either way, as one from the names of their fields. Mappings must be in this
    form to override one another.

    Raises:
        OptionError: an unknown name, or one given in both ways.
    """
    found: dict[str, _T] = {}
    for name, value in values.items():
        spec = find_option(cls, name)
        if spec.name in found:
            raise OptionError(f"{spec.public_name} is given twice.", hint=f"Leave out {spec.name!r}.")
        found[spec.name] = value
    return found


def make_options(cls: type[_O], values: Mapping[str, Any]) -> _O:
    """Build a task's options from keywords.

    Raises:
        OptionError: an unknown name, a wrong type or a value that isn't allowed.
    """
    given = by_field(cls, values)
    return cls(**{name: _checked(find_option(cls, name), value) for name, value in given.items()})


def _checked(spec: OptionSpec, value: Any) -> Any:
    if value is None and spec.default is None:
        return None
    if spec.choices and value not in spec.choices:
        raise OptionError(f"{spec.public_name} is {_shown(value)}, must be one of {', '.join(spec.choices)}.")
    if spec.type is int and type(value) is float and value.is_integer():
        return int(value)  # JSON has one kind of number: 1.0 is an integer there
    if spec.type is float and type(value) in (int, float):
        if not abs(value) <= sys.float_info.max:
            raise OptionError(f"{spec.public_name} is {_shown(value)}, must be a finite number.")
        return float(value)
    if type(value) is not spec.type:
        raise OptionError(f"{spec.public_name} is {_shown(value)}, must be of type {spec.type.__name__}.")
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise OptionError(
            f"{spec.public_name} is {value!r}, which is not valid Unicode.", hint="Pass valid UTF-8."
        )
    return value


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # Python writes no integers of thousands of digits
        return "an integer of thousands of digits"
