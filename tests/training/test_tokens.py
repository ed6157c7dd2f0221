"""From texts to packed tokens: nothing lost, nothing half-made, the same each time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from nlpsuite.errors import (
    BundleCorruptError,
    InputInvalidError,
    InputNotFoundError,
    OptionError,
    StorageError,
)
from nlpsuite.models import gguf_tokenizer
from nlpsuite.runtime.tokenizer import Tokenizer as RuntimeTokenizer
from nlpsuite.training.tokens import (
    Perplexity,
    TokenFile,
    load_tokenizer,
    pack,
    pieces,
    tokenizer_files,
    train_tokenizer,
)

TEXT = (Path(__file__).parent.parent / "fixtures" / "perplexity.txt").read_text(encoding="utf-8")


@cache
def tokenizer() -> Tokenizer:
    return train_tokenizer([TEXT], 400)


# The tokenizer.


def test_the_vocabulary_has_the_size_asked_for_and_every_byte() -> None:
    assert tokenizer().get_vocab_size() == 400
    assert tokenizer().token_to_id("<|endoftext|>") == 0
    assert sorted(tokenizer().get_vocab().values()) == list(range(400))


def test_a_small_corpus_gives_a_small_vocabulary() -> None:
    small = train_tokenizer(["banana bandana"], 10_000)
    assert 257 < small.get_vocab_size() < 270
    assert len(small.encode(" banana").ids) <= 4


def test_the_same_texts_give_the_same_tokenizer() -> None:
    again = train_tokenizer(iter([TEXT]), 400)
    assert again.to_str() == tokenizer().to_str()


@given(st.text())
def test_any_text_comes_back_as_it_was(text: str) -> None:
    assert tokenizer().decode(tokenizer().encode(text).ids, skip_special_tokens=False) == text


def test_digits_are_single_tokens() -> None:
    digits = train_tokenizer(["in 1999 and 1999 and 1999"] * 9, 300)
    assert digits.encode("1999").tokens == ["1", "9", "9", "9"]


def test_what_makes_no_tokenizer() -> None:
    with pytest.raises(OptionError, match="256 tokens is too small"):
        train_tokenizer([TEXT], 256)
    assert train_tokenizer([TEXT], 257).get_vocab_size() == 257
    with pytest.raises(InputInvalidError, match="no text"):
        train_tokenizer([" ", ""], 300)


def test_an_error_of_the_corpus_stays_what_it_is() -> None:
    def broken() -> Iterator[str]:
        yield TEXT
        raise InputInvalidError("line 2 is broken")

    with pytest.raises(InputInvalidError, match="line 2 is broken"):
        train_tokenizer(broken(), 300)


def test_the_files_serve_the_runtime(tmp_path: Path) -> None:
    for name, text in tokenizer_files(tokenizer(), 256).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert {config[f"{role}_token"] for role in ("bos", "eos", "pad")} == {"<|endoftext|>"}
    assert (config["model_max_length"], config["add_bos_token"]) == (256, False)
    assert json.loads((tmp_path / "generation_config.json").read_text()) == {
        "bos_token_id": 0,
        "eos_token_id": [0],
        "pad_token_id": 0,
    }
    runtime = RuntimeTokenizer.open(tmp_path)
    assert runtime.encode_text(TEXT) == tokenizer().encode(TEXT).ids
    assert runtime.decode(runtime.encode_text(TEXT)) == TEXT
    assert load_tokenizer(tmp_path / "tokenizer.json").to_str() == tokenizer().to_str()


def test_a_recurrent_model_has_no_longest_context() -> None:
    assert "model_max_length" not in json.loads(tokenizer_files(tokenizer(), None)["tokenizer_config.json"])


def test_a_tokenizer_that_can_not_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(BundleCorruptError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleCorruptError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path / "tokenizer.json")


# Pieces.


@cache
def with_pre_tokenizer(name: str) -> Tokenizer:
    """A tokenizer of the GGUF family with merges over spaces, letters, signs and line ends."""
    merges = ["Ġ a", "Ġ Ġ", "Ċ Ċ", ". Ċ", "a b", "Ġa b", "ĠĠ Ġ", "' s", ". .", "č Ċ", "Ġ .", "b '"]
    tokens = ["<|endoftext|>", *gpt2_letters(), *(merge.replace(" ", "") for merge in merges)]
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": name,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] + [1] * (len(tokens) - 1),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
    }
    return Tokenizer.from_str(gguf_tokenizer.tokenizer_files(metadata)["tokenizer.json"])


def gpt2_letters() -> list[str]:
    return sorted(pre_tokenizers.ByteLevel.alphabet())


@pytest.mark.parametrize("name", ["smollm", "gpt-2", "llama-bpe", "qwen2"])
@given(text=st.text("ab's.1²_ \n\r\t\x1c\u00a0\u2028é漢", max_size=80), characters=st.integers(1, 9))
def test_pieces_have_the_tokens_of_the_whole(name: str, text: str, characters: int) -> None:
    parts = list(pieces(text, characters))
    assert "".join(parts) == text
    encode = with_pre_tokenizer(name).encode
    assert [i for part in parts for i in encode(part).ids] == encode(text).ids


def test_a_long_text_has_short_pieces_and_an_endless_word_one() -> None:
    assert max(map(len, pieces(TEXT, 100))) < 150
    assert list(pieces("x" * 5000, 100)) == ["x" * 5000]


# Packing.


def test_each_document_is_followed_by_the_end_of_text(tmp_path: Path) -> None:
    texts = ["One two.", "", "three\nfour <|endoftext|> é"]
    packed = pack(texts, tokenizer(), tmp_path / "train")
    documents: list[list[int]] = [[]]
    for i in packed.tokens.tolist():
        if i == 0:
            documents.append([])
        else:
            documents[-1].append(i)
    assert [tokenizer().decode(ids) for ids in documents] == [*texts, ""]
    assert (packed.documents, packed.words, packed.bytes) == (3, 6, len("".join(texts).encode()))
    assert packed.count == len(packed.tokens)
    assert packed.tokens.dtype == np.uint16
    assert not packed.tokens.flags.writeable


def test_packed_tokens_are_found_again(tmp_path: Path) -> None:
    packed = pack(iter([TEXT] * 3), tokenizer(), tmp_path / "train")
    opened = TokenFile.open(tmp_path / "train", checksum=True)
    assert opened == packed
    assert opened.tokens.tolist() == (tokenizer().encode(TEXT).ids + [0]) * 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.bin", "train.json"]


def test_long_documents_span_batches(tmp_path: Path) -> None:
    text = TEXT * 230  # 1.1 million characters
    packed = pack([text, "short"], tokenizer(), tmp_path / "long")
    assert (packed.words, packed.bytes) == (len(text.split()) + 1, len(text.encode()) + 5)
    assert packed.tokens.tolist() == [*tokenizer().encode(text).ids, 0, *tokenizer().encode("short").ids, 0]


def test_a_large_vocabulary_takes_four_bytes_a_token(tmp_path: Path) -> None:
    document = json.loads(tokenizer().to_str())
    document["model"]["vocab"] |= {f"unused{i}": 400 + i for i in range(65_536 - 400)}
    largest = pack(["ab"], Tokenizer.from_str(json.dumps(document)), tmp_path / "a")
    document["model"]["vocab"]["unused"] = 65_536
    larger = pack(["ab"], Tokenizer.from_str(json.dumps(document)), tmp_path / "b")
    assert [largest.dtype, larger.dtype] == ["uint16", "uint32"]
    assert TokenFile.open(tmp_path / "b", checksum=True).tokens.tolist() == largest.tokens.tolist()


def test_a_failure_on_the_way_keeps_what_was_there(tmp_path: Path) -> None:
    old = pack(["old"], tokenizer(), tmp_path / "train")

    def broken() -> Iterator[str]:
        yield TEXT * 230
        raise InputInvalidError("broken")

    with pytest.raises(InputInvalidError, match="broken"):
        pack(broken(), tokenizer(), tmp_path / "train")
    with pytest.raises(InputInvalidError, match="no texts"):
        pack([], tokenizer(), tmp_path / "train")
    assert TokenFile.open(tmp_path / "train", checksum=True) == old
    assert len(list(tmp_path.iterdir())) == 2


def test_places_and_tokenizers_that_do_not_serve(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        pack(["text"], tokenizer(), tmp_path / "none" / "train")
    document = json.loads(tokenizer().to_str())
    document["added_tokens"] = []
    document["model"]["vocab"] = {token: i for i, token in enumerate(gpt2_letters())}
    document["model"]["merges"] = []
    with pytest.raises(OptionError, match=r"no token <\|endoftext\|>"):
        pack(["text"], Tokenizer.from_str(json.dumps(document)), tmp_path / "train")


def test_missing_files_are_named(tmp_path: Path) -> None:
    pack(["text"], tokenizer(), tmp_path / "train")
    with pytest.raises(InputNotFoundError, match=r"other\.json"):
        TokenFile.open(tmp_path / "other")
    (tmp_path / "train.bin").unlink()
    with pytest.raises(InputNotFoundError, match=r"train\.bin"):
        TokenFile.open(tmp_path / "train")


def test_a_cut_or_changed_file_is_refused(tmp_path: Path) -> None:
    pack([TEXT], tokenizer(), tmp_path / "train")
    data = (tmp_path / "train.bin").read_bytes()
    (tmp_path / "train.bin").write_bytes(data[:-2])
    with pytest.raises(BundleCorruptError, match="instead of"):
        TokenFile.open(tmp_path / "train")
    (tmp_path / "train.bin").write_bytes(b"\xff" + data[1:])
    with pytest.raises(BundleCorruptError, match="checksum"):
        TokenFile.open(tmp_path / "train", checksum=True)


@pytest.mark.parametrize(
    "change",
    [
        {"count": -1},
        {"count": "3"},
        {"words": None},
        {"bytes": True},
        {"dtype": "float64"},
        {"data_sha256": 1},
        {"version": 2},
        {"format": "other"},
    ],
)
def test_a_sidecar_of_another_kind_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    pack(["text"], tokenizer(), tmp_path / "train")
    sidecar = tmp_path / "train.json"
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | change))
    with pytest.raises(BundleCorruptError, match=r"train\.json"):
        TokenFile.open(tmp_path / "train")


@pytest.mark.parametrize("text", ["", "[1]", "{", '"x"', "[" * 100_000])
def test_a_sidecar_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    pack(["text"], tokenizer(), tmp_path / "train")
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(BundleCorruptError, match=r"train\.json"):
        TokenFile.open(tmp_path / "train")


# Perplexity.


def test_perplexity_over_tokens_words_and_bytes(tmp_path: Path) -> None:
    packed = pack(["a b c d"], tokenizer(), tmp_path / "train")
    perplexity = packed.perplexity(packed.count * math.log(400))
    assert perplexity.token == pytest.approx(400)
    assert perplexity.word == pytest.approx(400 ** (packed.count / 4))
    assert perplexity.byte == pytest.approx(400 ** (packed.count / 7))
    assert perplexity.bits_per_byte == pytest.approx(math.log2(perplexity.byte))
    assert perplexity.figures()["perplexity_word"] == perplexity.word


def test_perplexity_as_text() -> None:
    text = str(Perplexity(nats=8 * math.log(2), tokens=4, words=1, bytes=8))
    assert text == "4.00 per token, 256.00 per word, 2.000 per byte (1.000 bits per byte)"


def test_a_hopeless_model_has_an_infinite_perplexity() -> None:
    assert Perplexity(1e6, 10, 5, 1000).token == math.inf
    assert Perplexity(math.inf, 10, 5, 1000).byte == math.inf
    assert math.isnan(Perplexity(math.nan, 10, 5, 1000).byte)
