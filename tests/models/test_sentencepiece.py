"""SentencePiece tokenizers of GGUF files: ids by the published algorithm, and as transformers gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from nlpsuite.models.gguf_tokenizer import tokenizer_files
from nlpsuite.models.sentencepiece import without_strip
from nlpsuite.runtime import tokenizer as runtime

WORDS = [
    "he",
    "ll",
    "▁w",
    "or",
    "hell",
    "hello",
    "ld",
    "▁hello",
    "orld",
    "▁world",
    "▁▁",
    "\n\n",
    "ab",
    "abab",
    "ba",
]
LETTERS = list("▁helowrdab<>s/!\n")
TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *LETTERS, *WORDS, "<tool>"]
# As a trainer writes them: merges by age, letters after all merges.
SCORES = (
    [0.0] * 259 + [-100.0 - i for i in range(len(LETTERS))] + [-float(i) for i in range(len(WORDS))] + [0.0]
)
TYPES = [2, 3, 3] + [6] * 256 + [1] * (len(LETTERS) + len(WORDS)) + [4]
TEXTS = [
    "hello world", "hello", " hello", "hello  world", "helloworld", "ababab", "ab ba", "hell", "low",
    "\n\nhello\n", "héllo", "日本 hello", "👩‍🚀", "<s>hello</s>", "<0x41>", "a\tb", "", " ", "hello world!" * 3,
]  # fmt: skip


def metadata(**changes: Any) -> dict[str, Any]:
    values = {
        "model": "llama",
        "tokens": TOKENS,
        "scores": SCORES,
        "token_type": TYPES,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in (values | changes).items() if value is not None}


def opened(directory: Path, **changes: Any) -> runtime.Tokenizer:
    for name, text in tokenizer_files(metadata(**changes)).items():
        (directory / name).write_text(text, encoding="utf-8")
    return runtime.Tokenizer.open(directory)


def by_the_algorithm(text: str, *, space_prefix: bool = True) -> list[int]:
    """SentencePiece's own words: merge the best-scored adjacent pair, leftmost first, until none is a token."""
    if not text:
        return []
    pieces = list((" " * space_prefix + text).replace(" ", "▁"))
    mergeable = {token: i for i, token in enumerate(TOKENS) if TYPES[i] in (1, 4)}
    while True:
        pairs = [
            (-SCORES[mergeable[left + right]], at)
            for at, (left, right) in enumerate(zip(pieces, pieces[1:]))
            if left + right in mergeable
        ]
        if not pairs:
            break
        at = min(pairs)[1]
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    ids = []
    for piece in pieces:
        bytes_of = [TOKENS.index(f"<0x{byte:02X}>") for byte in piece.encode()]
        ids += [mergeable[piece]] if piece in mergeable else bytes_of
    return ids


def test_a_few_ids_by_hand(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path)
    token = {name: i for i, name in enumerate(TOKENS)}
    assert tokenizer.encode_text("hello world") == [token["▁hello"], token["▁world"]]
    # "ab" outranks "abab", which outranks "ba".
    assert tokenizer.encode_text("ababab") == [token["▁"], token["abab"], token["ab"]]
    assert tokenizer.encode_text("é") == [token["▁"], token["<0xC3>"], token["<0xA9>"]]
    assert tokenizer.decode(tokenizer.encode_text("é 日本")) == " é 日本"


@pytest.mark.parametrize("space_prefix", [True, False])
@pytest.mark.parametrize("text", TEXTS)
def test_ids_follow_the_algorithm(tmp_path: Path, text: str, space_prefix: bool) -> None:
    tokenizer = opened(tmp_path, add_space_prefix=space_prefix)
    ids = tokenizer.encode_text(text)
    assert ids == by_the_algorithm(text, space_prefix=space_prefix)
    assert tokenizer.decode(ids) == " " * (space_prefix and bool(text)) + text
    assert not {0, 1, 2} & set(ids)  # text is never a control token


def test_ids_are_those_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    utilities = pytest.importorskip("transformers.tokenization_utils_sentencepiece")
    vocabulary = {token: i for i, token in enumerate(TOKENS)}
    scores = {token: SCORES[i] for i, token in enumerate(TOKENS) if TYPES[i] == 1}
    pieces = {token: vocabulary[token] for token in scores}
    merges = utilities.generate_merges(pieces, scores)
    theirs = transformers.LlamaTokenizer(vocab=vocabulary, merges=merges, add_bos_token=False, legacy=True)
    ours = opened(tmp_path)
    for text in TEXTS:
        # Theirs finds control tokens in a text, and adds no space where there is one already, unlike
        # SentencePiece and llama.cpp.
        if text and "<" not in text and text[0] != " ":
            assert ours.encode_text(text) == theirs(text, add_special_tokens=False)["input_ids"], text


def test_a_completion_keeps_the_space_of_its_first_token(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path)
    assert tokenizer.decode([TOKENS.index("▁world")]) == " world"
    assert tokenizer.healer.allowed(" ").size >= 4
    stripping = [{"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    assert without_strip({"type": "Sequence", "decoders": stripping})["decoders"] == stripping[:1]
    assert without_strip({"type": "Metaspace", "prepend_scheme": "first"})["prepend_scheme"] == "never"
    assert without_strip(None) is None


def test_what_a_file_leaves_out(tmp_path: Path) -> None:
    files = tokenizer_files(metadata(bos_token_id=None, eos_token_id=None, unknown_token_id=None))
    config = json.loads(files["tokenizer_config.json"])
    assert (config["bos_token"], config["eos_token"], config["unk_token"]) == ("<s>", "</s>", "<unk>")
    assert config["add_bos_token"] is True
    assert json.loads(files["generation_config.json"])["eos_token_id"] == [2]
    Tokenizer.from_str(tokenizer_files(metadata(scores=None, token_type=None))["tokenizer.json"])
    few = tokenizer_files(metadata(tokens=["a", "b"], scores=[0.0, 1.0], token_type=[1, 1], bos_token_id=None,
                                   eos_token_id=None, unknown_token_id=None))  # fmt: skip
    assert "eos_token" not in json.loads(few["tokenizer_config.json"])
