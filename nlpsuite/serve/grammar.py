"""Answers that follow a JSON schema, by llguidance (github.com/guidance-ai/llguidance)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import llguidance
import llguidance.numpy
import numpy as np
import numpy.typing as npt

from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Constraint
from nlpsuite.serve.responses import BadRequest

__all__ = ["constraint_of"]

_tokenizers: WeakKeyDictionary[LanguageModel, Any] = WeakKeyDictionary()
# A small model that may write white space anywhere writes little else.
_COMPACT: Any = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
_lock = threading.Lock()  # a tokenizer takes about a second


def constraint_of(form: Mapping[str, Any], model: LanguageModel) -> Callable[[], Constraint] | None:
    """The constraint for a ``response_format``; None for plain text.

    Raises:
        BadRequest: another format, or a schema that can't be followed.
    """
    kind = form.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        schema: Any = {"type": "object"}
    elif kind == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema")
        if not isinstance(schema, dict):
            raise BadRequest("response_format has no schema.", param="response_format")
    else:
        raise BadRequest(
            f"response_format {kind!r} is not supported.",
            hint="Formats: text, json_object, json_schema, choice.",
            param="response_format",
        )
    tokenizer = _tokenizer(model)
    try:
        grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), _COMPACT)
    except ValueError as error:
        raise BadRequest(f"The schema can't be followed: {error}", param="response_format") from None
    if fault := llguidance.LLMatcher.validate_grammar(grammar, tokenizer):
        raise BadRequest(f"The schema can't be followed: {fault}", param="response_format")
    return lambda: _Grammar(llguidance.LLMatcher(tokenizer, grammar))


def _tokenizer(model: LanguageModel) -> Any:
    with _lock:
        if model not in _tokenizers:
            document = (Path(model.bundle.path) / "tokenizer.json").read_text(encoding="utf-8")
            _tokenizers[model] = llguidance.LLTokenizer(
                document, eos_token=sorted(model.bundle.end_token_ids)
            )
        return _tokenizers[model]


class _Grammar:
    """A ``Constraint`` by a matcher."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def mask(self, logits: npt.NDArray[np.float32]) -> None:
        bits = llguidance.numpy.allocate_token_bitmask(1, len(logits))
        llguidance.numpy.fill_next_token_bitmask(self._matcher, bits)
        llguidance.numpy.apply_token_bitmask_inplace(logits, bits)

    def advance(self, token: int) -> None:
        self._matcher.consume_token(token)
