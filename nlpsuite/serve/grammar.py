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

from nlpsuite.errors import RequestError
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Constraint

__all__ = ["FORMATS", "constraint_of"]

FORMATS = ("text", "json_object", "json_schema", "regex", "grammar", "choice")
"""Types of ``response_format``. Those from ``regex`` on are ours; ``choice`` is answered by scoring, not here."""

_tokenizers: WeakKeyDictionary[LanguageModel, Any] = WeakKeyDictionary()
# A small model that may write white space anywhere writes little else.
_COMPACT: Any = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
_lock = threading.Lock()  # a tokenizer takes about a second


def constraint_of(form: Mapping[str, Any], model: LanguageModel) -> Callable[[], Constraint] | None:
    """The constraint for a ``response_format``; None for plain text.

    Raises:
        RequestError: another format, or a schema that can't be followed.
    """
    kind = form.get("type")
    if kind == "text":
        return None
    tokenizer = _tokenizer(model)
    try:
        grammar = _grammar(form)
        fault = llguidance.LLMatcher.validate_grammar(grammar, tokenizer)
    except ValueError as error:
        fault = str(error)
    if fault:
        raise RequestError(f"The {kind} can't be followed: {fault.strip()}", param="response_format")
    return lambda: _Grammar(llguidance.LLMatcher(tokenizer, grammar))


def _grammar(form: Mapping[str, Any]) -> str:
    kind, matcher = form.get("type"), llguidance.LLMatcher
    if kind == "json_object":
        return matcher.grammar_from_json_schema('{"type": "object"}', _COMPACT)
    if kind == "json_schema":
        holder = form.get("json_schema")
        schema = holder.get("schema") if isinstance(holder, dict) else None
        if not isinstance(schema, dict):
            raise RequestError("response_format has no schema.", param="response_format")
        return matcher.grammar_from_json_schema(json.dumps(schema), _COMPACT)
    if kind not in ("regex", "grammar"):
        raise RequestError(
            f"response_format {kind!r} is not supported.",
            hint=f"Formats: {', '.join(FORMATS)}.",
            param="response_format",
        )
    text = form.get(kind)
    if not isinstance(text, str) or not text:
        raise RequestError(f"response_format has no {kind}.", param="response_format")
    return matcher.grammar_from_regex(text) if kind == "regex" else matcher.grammar_from_lark(text)


def _tokenizer(model: LanguageModel) -> Any:
    with _lock:
        if model not in _tokenizers:
            document = (Path(model.bundle.path) / "tokenizer.json").read_text(encoding="utf-8")
            _tokenizers[model] = llguidance.LLTokenizer(
                document, eos_token=sorted(model.bundle.end_token_ids)
            )
        return _tokenizers[model]


class _Grammar:
    """A ``Constraint`` by a matcher. Raises RequestError if it gives up."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def mask(self, logits: npt.NDArray[np.float32]) -> None:
        bits = llguidance.numpy.allocate_token_bitmask(1, len(logits))
        llguidance.numpy.fill_next_token_bitmask(self._matcher, bits)
        llguidance.numpy.apply_token_bitmask_inplace(logits, bits)

    def advance(self, token: int) -> None:
        self._matcher.consume_token(token)
        if self._matcher.is_error():
            raise RequestError(
                f"The format can't be followed any further: {self._matcher.get_error()}",
                param="response_format",
            )
