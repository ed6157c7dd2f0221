"""SentencePiece's files: ids as SentencePiece gives them, from a directory and from a GGUF file."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sentencepiece_files import FIXTURES, metadata_of
from tiny import LLAMA, write_tiny_checkpoint

from nlpsuite.errors import BundleCorruptError, ModelUnavailableError, UnsupportedModelError
from nlpsuite.models import gguf_tokenizer
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.hf_tokenizer import tokenizer_files
from nlpsuite.models.sentencepiece_file import read_sentencepiece
from nlpsuite.runtime.prompt import Message, Prompt
from nlpsuite.runtime.tokenizer import Tokenizer

NAMES = sorted(path.stem for path in FIXTURES.glob("*.model"))
EXACT = [name for name in NAMES if name != "unigram-rules"]  # those that change nothing in a text
CONFIG = dataclasses.replace(LLAMA, vocab_size=512)
OPENED: dict[str, Tokenizer] = {}

pieces = st.sampled_from(
    ["<s>", "</s>", "<unk>", "<0x0A>", "<tool>", "▁", " ", "  ", "\n", "the ", "model", "é", "日"]
)
texts = st.lists(st.one_of(pieces, st.text(max_size=4)), max_size=8).map("".join)


def opened(files: dict[str, str], directory: Path) -> Tokenizer:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8", newline="")
    return Tokenizer.open(directory)


def from_directory(name: str, directory: Path, **settings: Any) -> Tokenizer:
    source = directory / "source"
    source.mkdir(parents=True)
    shutil.copy(FIXTURES / f"{name}.model", source / "tokenizer.model")
    (source / "tokenizer_config.json").write_text(json.dumps(settings))
    return opened(tokenizer_files(source, CONFIG), directory / "bundle")


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    return {name: from_directory(name, tmp_path_factory.mktemp(name)) for name in NAMES}


@pytest.mark.parametrize("kind", ["directory", "gguf"])
@pytest.mark.parametrize("name", NAMES)
def test_ids_are_those_of_sentencepiece(
    tokenizers: dict[str, Tokenizer], tmp_path: Path, name: str, kind: str
) -> None:
    tokenizer = tokenizers[name]
    if kind == "gguf":
        tokenizer = opened(gguf_tokenizer.tokenizer_files(metadata_of(name)), tmp_path)
    rows = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    assert len(rows) > 70
    for row in rows:
        assert tokenizer.encode_text(row["text"]) == row["ids"], row["text"]


@pytest.mark.parametrize("name", EXACT)
@given(text=texts)
@example(text="a<s>b</s><unk>")
@example(text=" <s>")
def test_text_survives_and_is_never_a_control_token(
    tokenizers: dict[str, Tokenizer], name: str, text: str
) -> None:
    tokenizer = tokenizers[name]
    ids = tokenizer.encode_text(text)
    assert not tokenizer.control_ids & set(ids)
    prefix = " " if text and name != "bpe-plain" else ""
    assert tokenizer.decode(ids) == (prefix + text).replace("▁", " ")
    assert tokenizer.decode(tokenizer.encode_continuation(text)) == text.replace("▁", " ")


@given(text=texts)
@example(text="a<s>b</s><unk>")
def test_normalised_text_is_never_a_control_token_but_unknown(
    tokenizers: dict[str, Tokenizer], text: str
) -> None:
    tokenizer = tokenizers["unigram-rules"]
    assert not {1, 2} & set(tokenizer.encode_text(text))  # 0 stands for unknown characters


@pytest.mark.parametrize("name", NAMES)
@given(text=texts, choices=st.lists(texts.filter(str.strip), min_size=2, max_size=4, unique=True))
def test_choices_are_encoded_as_the_text_goes_on(
    tokenizers: dict[str, Tokenizer], name: str, text: str, choices: list[str]
) -> None:
    tokenizer = tokenizers[name]
    encodable = [choice for choice in choices if tokenizer.encode_text(text + choice)]
    if not encodable:
        return
    context, rows = tokenizer.encode_choices(Prompt(text=text, choices=tuple(encodable)))
    start = [tokenizer.add_bos] if tokenizer.add_bos is not None else []
    for choice, row in zip(encodable, rows):
        assert [*context, *row] == [*start, *tokenizer.encode_text(text + choice)]


@pytest.mark.parametrize("name", EXACT)
def test_white_space_at_the_end_is_spelled_by_the_next_token(
    tokenizers: dict[str, Tokenizer], name: str
) -> None:
    tokenizer = tokenizers[name]
    bare, space = tokenizer.split_space(Prompt(text="the model "))
    assert (bare.text, space) == ("the model", " ")
    words = {tokenizer.text_of(int(i)) for i in tokenizer.healer.allowed(" ")}
    assert {" ", " the"} <= words and all(word.startswith(" ") for word in words)
    assert tokenizer.split_space(Prompt(text="a\n"))[1] == "\n"  # a byte spells it


def test_a_whole_model_with_this_tokenizer(tmp_path: Path) -> None:
    directory = write_tiny_checkpoint(tmp_path / "tiny", config=CONFIG)
    (directory / "tokenizer.json").unlink()
    (directory / "tokenizer_config.json").write_text("{}")
    shutil.copy(FIXTURES / "bpe-bytes.model", directory / "tokenizer.model")
    files = open_checkpoint(directory).tokenizer_files()
    settings = json.loads(files["tokenizer_config.json"])
    assert (settings["bos_token"], settings["eos_token"], settings["add_bos_token"]) == ("<s>", "</s>", True)
    assert json.loads(files["generation_config.json"])["eos_token_id"] == [2]


def test_tokens_that_were_added_later(tmp_path: Path) -> None:
    decoder = {
        "501": {"content": "<|user|>", "special": True, "rstrip": True},
        "503": {"content": "<fn>", "special": False},
        "2": {"content": "</s>", "special": True},
    }
    template = "{% for m in messages %}<|user|>\n{{ m['content'] }}</s>\n{% endfor %}<|user|>\n"
    settings = {"added_tokens_decoder": decoder, "add_bos_token": False, "chat_template": template}
    tokenizer = from_directory("bpe-bytes", tmp_path, **settings)
    assert tokenizer.add_bos is None
    assert tokenizer.encode_text("<fn>") == [503]
    assert 501 not in tokenizer.encode_text("<|user|>")
    # White space behind <|user|> belongs to it; behind </s> it doesn't.
    ids = tokenizer.encode_prompt(Prompt(messages=(Message("user", "the model"),)))
    said = tokenizer.encode_text("the model")
    assert ids == [501, *said, 2, *tokenizer.encode_text("\n"), 501]
    (tmp_path / "source" / "tokenizer_config.json").write_text("{}")
    (tmp_path / "source" / "added_tokens.json").write_text(json.dumps({"<old>": 500}))
    assert opened(tokenizer_files(tmp_path / "source", CONFIG), tmp_path / "old").encode_text("<old>") == [
        500
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"added_tokens_decoder": {"512": {"content": "<x>"}}},
        {"added_tokens_decoder": {"1": {"content": "</s>"}}},
        {"added_tokens_decoder": {"x": {"content": "<x>"}}},
        {"added_tokens_decoder": {"500": {}}},
        {"added_tokens_decoder": ["<x>"]},
    ],
    ids=str,
)
def test_added_tokens_that_do_not_fit(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(BundleCorruptError):
        from_directory("bpe-bytes", tmp_path, **settings)


def test_damaged_files(tmp_path: Path) -> None:
    data = (FIXTURES / "bpe-bytes.model").read_bytes()
    path = tmp_path / "tokenizer.model"
    for damaged in (b"", b"nonsense", data[:-1], data[: len(data) // 2]):
        path.write_bytes(damaged)
        with pytest.raises((BundleCorruptError, UnsupportedModelError)):
            read_sentencepiece(path).pieces.tokenizer({1, 2})
    with pytest.raises(ModelUnavailableError):
        read_sentencepiece(tmp_path / "none")


def test_another_algorithm_is_named(tmp_path: Path) -> None:
    # Of the last such field counts: model_type (3) of trainer_spec (2) is 3, words.
    data = (FIXTURES / "bpe-bytes.model").read_bytes() + b"\x12\x02\x18\x03"
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(UnsupportedModelError, match="with word is not supported"):
        read_sentencepiece(tmp_path / "tokenizer.model")


def test_a_space_in_front_of_the_first_text_only(tmp_path: Path) -> None:
    """As newer tokenizers of Llama 2 and Mistral have it: Metaspace with the scheme "first"."""
    files = gguf_tokenizer.tokenizer_files(metadata_of("bpe-bytes"))
    document = json.loads(files["tokenizer.json"])
    document["normalizer"] = None
    document["pre_tokenizer"] = {
        "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False,
    }  # fmt: skip
    template = "{% for m in messages %}<s>{{ m['content'] }}</s>{% endfor %}"
    changed = {**files, "tokenizer.json": json.dumps(document), "chat_template.jinja": template}
    first, every = (
        opened(changed, tmp_path / "first"),
        opened({**files, "chat_template.jinja": template}, tmp_path / "every"),
    )
    assert first.encode_prompt(Prompt(text="the model")) == every.encode_prompt(Prompt(text="the model"))
    said = Prompt(messages=(Message("user", "the model"),))
    assert every.encode_prompt(said)[1] == every.encode_text("the")[0]
    # The template adds no header for the answer: it is what stands between a question and its answer.
    assert first.encode_prompt(said) == [1, *first.encode_continuation("the model"), 2, 1]
    assert first.decode(first.encode_prompt(said)) == "the model"
