"""The pre-tokenizers that GGUF files name, as steps of Hugging Face ``tokenizers``.

A file of a byte-level tokenizer holds the *name* of its pre-tokenizer in ``tokenizer.ggml.pre``; the regular
expressions are built into llama.cpp (``src/llama-vocab.cpp``) and restated here, each as steps that split the
pieces of the step before. Listed are the names that llama.cpp's converter gives to tokenizers of the supported
families and of models derived from them.

GPT-4o's and Mistral's newer expressions are those of their authors: llama.cpp, whose engine lacks classes for
upper and lower case, takes every letter outside ASCII for both.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Regex, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel, PreTokenizer, Split

from nlpsuite.errors import UnsupportedModelError

__all__ = ["PRE_TOKENIZERS", "PreTokenization", "find_pre_tokenization"]


@dataclass(frozen=True)
class PreTokenization:
    """How byte-level tokenizers of one name treat a text before they merge.

    Attributes:
        patterns: regular expressions whose matches become pieces, one after the other.
        whole_pieces: a piece that is itself a token is taken whole, without applying merges.
        bos: prompts begin with the beginning-of-text token unless the file says otherwise.
    """

    patterns: tuple[str, ...]
    whole_pieces: bool = False
    bos: bool = False

    def build(self) -> PreTokenizer:
        """The steps, the last of which writes bytes as letters."""
        *before, last = self.patterns
        steps: list[PreTokenizer] = [Split(Regex(pattern), "isolated") for pattern in before]
        if last == _GPT2:  # built into the library
            steps.append(ByteLevel(add_prefix_space=False))
        else:
            steps += [Split(Regex(last), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
        return pre_tokenizers.Sequence(steps)


_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_CONTRACTION = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}{{1,3}}|{_MARKS}|{_SPACE}"
_QWEN2 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}|{_MARKS}|{_SPACE}"


def _by_case(ending: str, digits: str) -> str:
    """Words that change from lower to upper case are taken apart: "HelloWorld" is two."""
    upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    start, marks = r"[^\r\n\p{L}\p{N}]?", r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
    return f"{start}{upper}*{lower}+{ending}|{start}{upper}+{lower}*{ending}|{digits}|{marks}|{_SPACE}"


_GPT4O, _TEKKEN = _by_case(f"{_CONTRACTION}?", r"\p{N}{1,3}"), _by_case("", r"\p{N}")
# Cased letters in the order of DeepSeek's tokenizer.json, which leaves some scripts out.
_DEEPSEEK_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛ"
    "ὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗ"
    "Ａ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
_CHINESE = "[一-龥ࠀ-一가-퟿]+"

_DIGITS_APART = PreTokenization((r"\p{N}", _GPT2))
_PLAIN = PreTokenization((_GPT2,))
_LLAMA = PreTokenization((_LLAMA3,), whole_pieces=True, bos=True)
_QWEN = PreTokenization((_QWEN2,))

_KNOWN: dict[tuple[str, ...], PreTokenization] = {
    # What llama.cpp does with a file that names no pre-tokenizer.
    ("default",): PreTokenization((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    ("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "gigachat", "mellum"): _PLAIN,
    ("a.x-4.0", "exaone4", "modern-bert"): _PLAIN,
    ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"): _DIGITS_APART,
    ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "midm-2.0", "lfm2"): _LLAMA,
    ("dbrx", "smaug-bpe", "chatglm-bpe"): PreTokenization((_LLAMA3,)),
    ("glm4",): PreTokenization((_LLAMA3,), whole_pieces=True),
    ("qwen2", "deepseek-r1-qwen", "kormo", "megrez", "stablelm2", "hunyuan", "f2llmv2", "grok-2"): _QWEN,
    ("qwen35",): PreTokenization(
        (
            _QWEN2.replace(_WORD, _WORD.replace(r"\p{L}+", r"[\p{L}\p{M}]+")).replace(
                _MARKS, _MARKS.replace(r"\p{L}", r"\p{L}\p{M}")
            ),
        )
    ),
    ("gpt-4o", "llama4", "kanana2", "talkie"): PreTokenization((_GPT4O,)),
    ("tekken",): PreTokenization((_TEKKEN,), whole_pieces=True, bos=True),
    ("falcon",): PreTokenization((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]")),
    ("deepseek-coder",): PreTokenization((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CHINESE, r"\p{N}")),
    ("deepseek-llm",): PreTokenization(
        (
            r"[\r\n]",
            rf"\s?[{_DEEPSEEK_LETTERS}]+",
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
            r"\s+\z",
            _CHINESE,
            r"\p{N}+",
        )
    ),
    ("deepseek-v3",): PreTokenization(
        (
            r"\p{N}{1,3}",
            "[一-龥぀-ゟ゠-ヿ]+",
            r"[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
            rf"{_SPACE}",
        )
    ),
    ("poro-chat", "bloom", "gpt3-finnish"): PreTokenization((r" ?[^(\s|.,!?…。，、।۔،)]+",)),
    ("viking",): PreTokenization((r" ?[^(\s|.,!?…。，、।۔،)]+", r"\p{N}")),
    ("seed-coder",): PreTokenization(
        (rf"{_CONTRACTION}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACE}",)
    ),
    # Digits in groups of three, counted from the right.
    ("superbpe",): PreTokenization((r"\p{N}+", r"(?=(\d{3})+(?!\d))")),
}
PRE_TOKENIZERS = {name: rules for names, rules in _KNOWN.items() for name in names}
"""``tokenizer.ggml.pre`` to its rules."""


def find_pre_tokenization(name: object) -> PreTokenization:
    """The rules of a name in ``tokenizer.ggml.pre``; None stands for a file without one.

    Raises:
        UnsupportedModelError: it isn't known here.
    """
    rules = (
        PRE_TOKENIZERS.get(name)
        if isinstance(name, str)
        else PRE_TOKENIZERS["default"]
        if name is None
        else None
    )
    if rules is None:
        raise UnsupportedModelError(
            f"Pre-tokenizer {name!r} of the GGUF file is not supported.",
            hint="Give the model's Hugging Face directory instead, whose tokenizer.json has the rules. "
            f"Supported: {', '.join(sorted(PRE_TOKENIZERS))}.",
        )
    return rules
