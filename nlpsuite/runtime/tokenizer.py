"""Text to token ids and back, never mistaking the user's text for the model's control tokens.

A control token such as ``<|im_start|>`` marks who is speaking; only a chat template may write one. The
user's text is marked before rendering, so that the template's control tokens can be distinguished from the
same characters in the text.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.errors import BundleCorruptError, InputInvalidError, UnsupportedModelError
from nlpsuite.runtime.chat_template import ChatTemplate
from nlpsuite.runtime.infilling import Layout, find_layout
from nlpsuite.runtime.number_limit import NumberTokens
from nlpsuite.runtime.prompt import Prompt
from nlpsuite.runtime.space_prefix import SpacePrefix
from nlpsuite.runtime.thoughts import OPEN, ThoughtFilter, without_thoughts
from nlpsuite.runtime.token_healing import TokenHealer

if TYPE_CHECKING:
    import tokenizers

__all__ = ["Tokenizer"]

_REPLACEMENT = "\ufffd"
# A byte in the vocabularies of SentencePiece.
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
# Characters without an assigned meaning; the last two ranges are for texts that use all of the first.
_PRIVATE_USE = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))


class Tokenizer:
    """A bundle's tokenizer and chat template. Make one with ``Tokenizer.open``.

    Attributes:
        control_ids: ids of control tokens, which are no part of a text.
    """

    def __init__(
        self,
        core: tokenizers.Tokenizer,
        chat_template: str | None,
        variables: dict[str, Any],
        *,
        add_bos: bool = False,
    ) -> None:
        self._core = core
        # Control tokens in a text are then split like any other characters.
        self._core.encode_special_tokens = True
        special = {i: t for i, t in core.get_added_tokens_decoder().items() if t.special}
        self._controls = {t.content: i for i, t in special.items()}
        # Phi-3's control tokens swallow the white space behind them.
        self._strips_after = frozenset(t.content for t in special.values() if t.rstrip)
        self._strips_before = frozenset(t.content for t in special.values() if t.lstrip)
        self.control_ids = frozenset(self._controls.values())
        longest_first = sorted(self._controls, key=len, reverse=True)
        self._control_pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._chat_template = (
            ChatTemplate(chat_template, variables, self._controls.keys()) if chat_template else None
        )
        self._variables = variables
        # A chat template writes it itself.
        bos = variables.get("bos_token") or ""
        self._bos = bos if add_bos and bos in self._controls else ""
        self._healer: TokenHealer | None = None
        self._number_tokens: NumberTokens | None = None
        self._layout = find_layout(lambda token: core.token_to_id(token) is not None)

    @classmethod
    def open(cls, directory: Path) -> Tokenizer:
        """Load ``tokenizer.json``, ``tokenizer_config.json`` and ``chat_template.jinja``.

        Raises:
            BundleCorruptError: a file is missing or unreadable.
        """
        import tokenizers

        try:
            core = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
            config = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
            template_file = directory / "chat_template.jinja"
            template = template_file.read_text(encoding="utf-8") if template_file.is_file() else None
            variables = {
                name: _token_text(config.get(name))
                for name in ("bos_token", "eos_token", "pad_token", "unk_token")
            }
        except Exception as error:  # tokenizers raises plain Exception
            raise BundleCorruptError(f"The tokenizer in {directory} can't be loaded: {error}.") from None
        return cls(core, template, variables, add_bos=config.get("add_bos_token") is True)

    @property
    def has_chat_template(self) -> bool:
        return self._chat_template is not None

    @property
    def eos_id(self) -> int | None:
        """The token that the tokenizer's configuration calls the end of a text or turn."""
        return self._controls.get(self._variables.get("eos_token") or "")

    @property
    def add_bos(self) -> int | None:
        """The token that every raw prompt begins with; None for models that have none."""
        return self._controls[self._bos] if self._bos else None

    def first_token(self, end_token_ids: Iterable[int]) -> int:
        """What a text's first token follows: the beginning of a text if this model has it, else an end."""
        return min(end_token_ids) if self.add_bos is None else self.add_bos

    def encode_text(self, text: str) -> list[int]:
        """Ids of plain text; control tokens in it are treated as text."""
        ids: list[int] = self._core.encode(text, add_special_tokens=False).ids
        return ids

    def encode_continuation(self, text: str) -> list[int]:
        """As ``encode_text``, of a text that continues another: no space is put in front of it."""
        core = self._space_prefix.bare if self._space_prefix else self._core
        ids: list[int] = core.encode(text, add_special_tokens=False).ids
        return ids

    @functools.cached_property
    def _space_prefix(self) -> SpacePrefix | None:
        return SpacePrefix.of(self._core)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids`` without control tokens; invalid UTF-8 becomes U+FFFD."""
        visible = [i for i in ids if i not in self.control_ids]
        text: str = self._core.decode(visible, skip_special_tokens=False)
        return text

    def text_of(self, token: int) -> str:
        """A token's own text, control tokens included; U+FFFD for a part of a character."""
        if token in self.control_ids:
            return str(self._core.id_to_token(token) or "")
        # Behind another token, since some decoders drop the white space that a text begins with.
        anchor = self._anchor
        return self.decode([*anchor, token])[len(self.decode(anchor)) :]

    def bytes_of(self, token: int) -> bytes:
        """A token's own text in UTF-8, of which a part of a character has its real bytes."""
        text = self.text_of(token)
        if _REPLACEMENT not in text:
            return text.encode()
        piece = self._core.id_to_token(token) or ""
        if match := _BYTE_TOKEN.fullmatch(piece):
            return bytes.fromhex(match[1])
        alphabet = _byte_alphabet()
        return bytes(alphabet[c] for c in piece) if all(c in alphabet for c in piece) else text.encode()

    @functools.cached_property
    def _anchor(self) -> list[int]:
        return self.encode_text("a")[-1:]

    @property
    def healer(self) -> TokenHealer:
        """The token healer of this vocabulary."""
        if self._healer is None:
            rows = [[i] for i in range(self._core.get_vocab_size())]
            texts = self._core.decode_batch(rows, skip_special_tokens=False)
            self._healer = TokenHealer({i: text for i, text in enumerate(texts) if i not in self.control_ids})
        return self._healer

    @property
    def number_tokens(self) -> NumberTokens:
        """The tokens of this vocabulary that numbers are made of."""
        if self._number_tokens is None:
            self._number_tokens = NumberTokens(
                {piece: i for piece, i in self._core.get_vocab().items() if i not in self.control_ids},
                self.text_of,
            )
        return self._number_tokens

    def split_space(self, prompt: Prompt) -> tuple[Prompt, str]:
        """The prompt without the white space at its end that its continuation should spell, and that white space;
        see ``nlpsuite.runtime.token_healing``."""
        in_place = not prompt.suffix or (self._layout is not None and self._layout.ends_with_prefix)
        if not (in_place and prompt.text[-1:].isspace()):
            return prompt, ""
        return self.healer.split(prompt)

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """Ids of a prompt: its conversation through the chat template, or its plain text.

        Raises:
            UnsupportedModelError: messages are given but the model has no chat template,
                or the template refuses them; or a suffix, and it has no tokens for that.
        """
        head, tail, encode = self._pieces(prompt)
        return [*head, *encode(tail)]

    def count(self, prompt: Prompt | str) -> int:
        """Number of tokens of a prompt as the model reads it, or of plain text."""
        return len(self.encode_text(prompt) if isinstance(prompt, str) else self.encode_prompt(prompt))

    def encode_choices(self, prompt: Prompt) -> tuple[list[int], list[list[int]]]:
        """The context shared by all of the prompt's choices, and each choice's own tokens after it.

        Context and choice are encoded as one text, since a token may span their boundary. The shared
        context ends before the first token that differs.
        """
        head, tail, encode = self._pieces(prompt)
        rows = [[*head, *encode(tail + choice)] for choice in prompt.choices]
        shared = common_prefix([[*head, *encode(tail)], *rows])
        # Every choice needs a token of its own, even one that is a prefix of another.
        shared = min(shared, *(len(row) - 1 for row in rows))
        return rows[0][:shared], [row[shared:] for row in rows]

    def segments(self, prompt: Prompt) -> list[tuple[str, bool]]:
        """A prompt as the model reads it: pieces of text, and whether each is a control token.

        The last piece is text, possibly empty, which the model continues. Joining the pieces loses the
        distinction between control tokens and text that looks like them.

        Raises:
            UnsupportedModelError: as ``encode_prompt``.
        """
        start = [(self._bos, True)] if self._bos else []
        if not prompt.messages and prompt.suffix:
            *before, (tail, _) = self._known_layout.segments(prompt.text, prompt.suffix)
            return [*start, *before, (tail + prompt.prefill, False)]
        if not prompt.messages:
            return [*start, (prompt.text + prompt.prefill, False)]
        rendered, marker = self._render(prompt)
        segments: list[tuple[str, bool]] = []
        at, after = 0, ""
        for match in self._control_pattern.finditer(rendered) if self._control_pattern else ():
            text = self._stripped(rendered[at : match.start()].replace(marker, ""), after, match.group())
            segments += [(text, False)] if text else []
            segments.append((match.group(), True))
            at, after = match.end(), match.group()
        tail = rendered[at:].replace(marker, "") + prompt.prefill
        return [*segments, (self._stripped(tail, after, ""), False)]

    def _stripped(self, text: str, after: str, before: str) -> str:
        """A text without the white space that the control tokens around it swallow."""
        text = text.lstrip() if after in self._strips_after else text
        return text.rstrip() if before in self._strips_before else text

    @property
    def _known_layout(self) -> Layout:
        if self._layout is None:
            raise UnsupportedModelError(
                "This model has no tokens that mark the text around a gap.",
                hint="Use a model for code that has them, or leave out --sentinels.",
            )
        return self._layout

    def has_controls(self, text: str) -> bool:
        """Whether the text contains the characters of a control token."""
        return self._control_pattern is not None and self._control_pattern.search(text) is not None

    def _pieces(self, prompt: Prompt) -> tuple[list[int], str, Callable[[str], list[int]]]:
        """Everything up to the last control token as ids, the text after it, and what encodes that text."""
        *head, (tail, _) = self.segments(prompt)
        # A raw prompt's beginning-of-text token isn't part of the text.
        start = 1 if self._bos and not prompt.messages else 0

        def encoder(number: int) -> Callable[[str], list[int]]:
            inside = number > start and self._space_prefix is not None and self._space_prefix.first_only
            return self.encode_continuation if inside else self.encode_text

        ids: list[int] = []
        for number, (text, control) in enumerate(head):
            ids.extend([self.token_id(text)] if control else encoder(number)(text))
        return ids, tail, encoder(len(head))

    def token_id(self, token: str) -> int:
        """The id of a control token."""
        found: int | None = self._core.token_to_id(token)
        assert found is not None
        return found

    def thought_filter(self, prompt: Prompt) -> ThoughtFilter | None:
        """What takes the thoughts out of a prompt's answer, or leaves them in; None if there are none."""
        if prompt.thinking == "off":
            return None
        opened = self._render(prompt)[0].rstrip().endswith(OPEN)
        return ThoughtFilter(opened=opened, show=prompt.thinking == "show")

    def _render(self, prompt: Prompt) -> tuple[str, str]:
        """The rendered conversation, and the marker inserted into text that looks like control tokens."""
        if self._chat_template is None:
            raise UnsupportedModelError(
                "This model has no chat template, so it can't follow instructions.",
                hint="Use an instruction-tuned model, or the task `complete`.",
            )
        think = prompt.thinking != "off"
        if think and not self._chat_template.can_think:
            raise UnsupportedModelError(
                "This model can't think aloud: its chat template has no switch for that.",
                hint="Leave out --think, or take a model that can, such as Qwen3-1.7B or SmolLM3-3B.",
            )
        # Templates leave the thoughts of earlier answers out, but don't find them once they are marked.
        messages = [
            replace(m, content=without_thoughts(m.content)) if m.role == "assistant" else m
            for m in prompt.messages
        ]
        used = set(self._chat_template.source).union(*(m.content for m in messages))
        marker = next((c for c in map(chr, chain(*_PRIVATE_USE)) if c not in used), None)
        if marker is None:
            raise InputInvalidError(
                "The text contains every private-use character of Unicode; it isn't text."
            )
        marked = [replace(m, content=self._mark(m.content, marker)) for m in messages]
        try:
            return self._chat_template.render(marked, think=think), marker
        except Exception as error:  # a template can raise anything
            raise UnsupportedModelError(
                f"The model's chat template refused the conversation: {error}",
                hint="Check the roles and their order, or use the task `complete`, which needs no template.",
            ) from None

    def _mark(self, content: str, marker: str) -> str:
        """Insert a marker after every character that could begin a control token.

        Another precedes content that could complete a control token that starts in the template's own text, even
        if the template strips the content.
        """
        firsts = {control[0] for control in self._controls}
        ends = (control[i:] for control in self._controls for i in range(1, len(control)))
        bare = content.strip()
        lead = marker if any(bare.startswith(end) or (bare and bare in end) for end in ends) else ""
        return lead + "".join(c + marker if c in firsts else c for c in content)


@functools.cache
def _byte_alphabet() -> dict[str, int]:
    """The characters that byte-level vocabularies write bytes with: printable ones stand for themselves, the others
    are moved behind U+00FF (Radford et al. 2019, the code of GPT-2)."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(others)}


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Number of leading items that all rows share."""
    shared = 0
    for column in zip(*rows):
        if any(item != column[0] for item in column):
            break
        shared += 1
    return shared


def _token_text(value: Any) -> str | None:
    """A token in tokenizer_config.json is a string or an object with ``content``."""
    return value.get("content") if isinstance(value, dict) else value
