"""Settings of the language server: flags of ``nlpsuite lsp``, or an editor's initialization options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nlpsuite.errors import OptionError
from nlpsuite.options import Options, make_options, option

__all__ = ["LspSettings", "with_editor_settings"]

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class LspSettings(Options):
    """Which model completes, how much it reads and writes, and when."""

    model: str | None = option(None, "Use this bundle, .gguf file, checkpoint directory or hf:owner/name.")
    adapter: str | None = option(
        None,
        "Merge this adapter into the model; by default `python` into the default model, and `none` into others.",
    )
    precision: Literal["int8", "int4", "fp16", "fp32"] | None = option(
        None, "Set the precision of the weights.  [default: int8; fp16 with CUDA]"
    )
    device: Literal["auto", "cuda", "cpu"] = option("auto", "Choose where the model runs.")
    threads: int = option(0, "Use N CPU threads; 0 uses every core.")
    unit: Literal["auto", "line", "block"] = option(
        "auto", "Complete the line or the block; auto completes a block where the cursor's line is empty."
    )
    max_tokens: int = option(64, "Write at most this many tokens.")
    prefix_tokens: int = option(384, "Read at most this many tokens before the cursor.")
    suffix_tokens: int = option(96, "Read at most this many tokens behind the cursor.")
    debounce: int = option(80, "Wait for so many milliseconds without another request before the model runs.")

    def __post_init__(self) -> None:
        ranges = {
            "threads": (0, 256),
            "max_tokens": (1, 1_024),
            "prefix_tokens": (16, 1_900),  # the task reads no more, and would say so each time
            "suffix_tokens": (0, 1_900),
            "debounce": (0, 10_000),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise OptionError(f"{name} is {getattr(self, name)}, must be between {low} and {high:,}.")


def with_editor_settings(settings: LspSettings, given: object) -> LspSettings:
    """The settings with those that an editor sends, which take precedence.

    Args:
        given: ``initializationOptions``: an object whose names may be written ``max_tokens`` or ``maxTokens``, or
            null.

    Raises:
        OptionError: an unknown name, or a value that isn't allowed.
    """
    if given is None:
        return settings
    if not isinstance(given, Mapping):
        raise OptionError(
            "The initialization options are not an object.", hint='Send an object such as {"unit": "line"}.'
        )
    values: dict[str, Any] = {_HUMP.sub("_", str(name)).lower(): value for name, value in given.items()}
    return make_options(LspSettings, {**asdict(settings), **values})
