"""A task's options as a JSON schema, for forms, editors and services."""

from __future__ import annotations

from typing import Any

from nlpsuite.options import Options, OptionSpec, option_specs

__all__ = ["DIALECT", "option_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def option_schema(cls: type[Options]) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of an object of options.

    It admits what ``make_options`` takes under the options' public names and nothing else, where numbers
    are such as a double can hold and strings are valid Unicode. Ranges that only the model's sampling sets (a temperature
    above 0) are not part of it.
    """
    return {
        "$schema": DIALECT,
        "title": cls.__name__,
        "type": "object",
        "properties": {spec.public_name: _property(spec) for spec in option_specs(cls)},
        "additionalProperties": False,
    }


def _property(spec: OptionSpec) -> dict[str, Any]:
    # None means that the choice is left to the task; only an option whose default it is takes it.
    nullable = spec.default is None
    kind = _TYPES[spec.type]
    schema: dict[str, Any] = {"type": [kind, "null"] if nullable else kind}
    if spec.choices:
        schema["enum"] = [*spec.choices, None] if nullable else list(spec.choices)
    return schema | {"default": spec.default} | ({"description": spec.help} if spec.help else {})
