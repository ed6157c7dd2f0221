"""The tokenizer files of a bundle, made the same way from every kind of checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tokenizers import AddedToken, Tokenizer

__all__ = [
    "END_OF_GENERATION",
    "SpecialTokens",
    "add_tokens",
    "choose_pad",
    "make_tokenizer_files",
    "suggested_sampling",
]

END_OF_GENERATION = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>")
"""Control tokens that end a generation wherever a vocabulary has them."""

_DRAWN = ("temperature", "top_k", "top_p", "min_p")
_PADS = ("<|finetune_right_pad_id|>", "<pad>", "<|pad|>", "[PAD]", "<|endoftext|>", "<|end_of_text|>")


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of a vocabulary's special tokens.

    Attributes:
        control: text of every control token to its id.
        bos, unk, pad: None without such a token.
        ends: tokens that end a text or a turn, the main one first.
    """

    control: Mapping[str, int]
    bos: int | None
    unk: int | None
    pad: int | None
    ends: Sequence[int]


def add_tokens(
    tokenizer: Tokenizer,
    tokens: Sequence[str],
    control: Set[int],
    user_defined: Set[int],
    *,
    strip_after: Set[int] = frozenset(),
) -> None:
    """Declare which tokens of a vocabulary are found in a text before it is segmented.

    Args:
        tokens: the vocabulary, by id.
        control, user_defined: ids of special tokens, and of others; one that is both is special.
        strip_after: ids of special tokens that swallow the white space behind them.
    """
    special = [AddedToken(tokens[i], normalized=False, rstrip=i in strip_after) for i in sorted(control)]
    tokenizer.add_special_tokens(special)
    plain = sorted(user_defined - control)
    tokenizer.add_tokens([AddedToken(tokens[i], normalized=False) for i in plain])


def make_tokenizer_files(
    document: str,
    special: SpecialTokens,
    token: Callable[[int], str | None],
    *,
    add_bos: bool,
    max_length: int | None,
    chat_template: str | None,
    sampling: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, str]:
    """Name -> text of ``tokenizer.json``, ``tokenizer_config.json``, ``generation_config.json`` and, if
    there is one, ``chat_template.jinja``.

    The list ``eos_token_id`` of generation_config.json has every id that ends a generation.

    Args:
        document: the text of tokenizer.json. It must add, cut and pad nothing by itself.
        token: text of an id.
        add_bos: whether a raw prompt should begin with the ``bos`` token.
        max_length: longest context, in tokens.
        sampling: settings that the model's makers suggest, see ``suggested_sampling``.
    """
    pad = choose_pad(special)
    eos = special.ends[0] if special.ends else None
    roles = {"bos": special.bos, "eos": eos, "unk": special.unk, "pad": pad}
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": add_bos,
        **{f"{role}_token": token(i) for role, i in roles.items() if i is not None},
    }
    if max_length is not None:
        config["model_max_length"] = max_length
    known_ends = (special.control[name] for name in END_OF_GENERATION if name in special.control)
    ends = sorted({*special.ends, *known_ends})
    generation: dict[str, Any] = {"bos_token_id": special.bos, "eos_token_id": ends, "pad_token_id": pad}
    if sampling:
        generation |= {"do_sample": "temperature" in sampling, **sampling}
    files = {
        "tokenizer.json": document,
        "tokenizer_config.json": json.dumps(config, ensure_ascii=False, indent=2),
        "generation_config.json": json.dumps(generation, indent=2),
    }
    if chat_template:
        files["chat_template.jinja"] = chat_template
    return files


def suggested_sampling(values: Mapping[str, Any], *, drawn: bool) -> dict[str, float]:
    """The settings among ``values`` that say how tokens are drawn, under Hugging Face's names.

    Args:
        drawn: whether they are drawn at all; otherwise only a penalty has an effect.
    """
    names = (*_DRAWN, "repetition_penalty") if drawn else ("repetition_penalty",)
    found = {name: values[name] for name in names if type(values.get(name)) in (int, float)}
    found = {name: value for name, value in found.items() if math.isfinite(value) and value >= 0}
    return {"temperature": 1.0, **found} if drawn and found else found


def choose_pad(special: SpecialTokens) -> int | None:
    """The id of a token to pad with that no prompt ends with.

    Prompts begin with ``bos`` and end turns with ``ends``, and some programs drop padding ids from the
    end of a prompt. If the declared padding token is one of these, another control token replaces it,
    should there be one.
    """
    taken = {special.bos, *special.ends}
    for candidate in (special.pad, *(special.control.get(name) for name in _PADS)):
        if candidate is not None and candidate not in taken:
            return candidate
    return next((i for i in (special.pad, *special.ends) if i is not None), None)
