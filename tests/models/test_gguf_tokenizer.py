"""Tokenizers rebuilt from GGUF metadata: equal to llama.cpp's, token for token."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers

from nlpsuite.errors import BundleCorruptError, UnsupportedModelError
from nlpsuite.models.gguf import GGUFFile
from nlpsuite.models.gguf_pre_tokenizers import PRE_TOKENIZERS, find_pre_tokenization
from nlpsuite.models.gguf_tokenizer import tokenizer_files
from nlpsuite.models.tokenizer_files import SpecialTokens, choose_pad

HERE = Path(__file__).parent
ROWS = json.loads((HERE / "golden_token_ids.json").read_text(encoding="utf-8"))
OTHER_PRE_TOKENIZERS = json.loads((HERE / "golden_pre_tokenizers.json").read_text(encoding="utf-8"))


def tiny_metadata(**changes: Any) -> dict[str, Any]:
    """Three control tokens, one user-defined, all bytes and two merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>", *alphabet, "ab", "abc"]
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3, 3, 3, 4] + [1] * (len(tokens) - 4),
        "tokenizer.ggml.merges": ["a b", "ab c"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 2,
        "general.architecture": "llama",
        "llama.context_length": 128,
    }
    return metadata | {f"tokenizer.ggml.{key}": value for key, value in changes.items()}


def files_of(**changes: Any) -> dict[str, Any]:
    files = tokenizer_files(tiny_metadata(**changes))
    return {name: json.loads(text) for name, text in files.items() if name.endswith(".json")}


def text_tokenizer(metadata: dict[str, Any]) -> Tokenizer:
    """As the runtime encodes untrusted text: without any added token."""
    document = json.loads(tokenizer_files(metadata)["tokenizer.json"])
    document["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(document))


def test_control_tokens_are_special_and_user_defined_ones_are_not() -> None:
    added = files_of()["tokenizer.json"]["added_tokens"]
    assert [(t["id"], t["content"], t["special"]) for t in added] == [
        (0, "<|endoftext|>", True),
        (1, "<|im_start|>", True),
        (2, "<|im_end|>", True),
        (3, "<tool>", False),
    ]


def test_text_and_control_tokens_round_trip() -> None:
    metadata = tiny_metadata()
    tokenizer = Tokenizer.from_str(tokenizer_files(metadata)["tokenizer.json"])
    text = "<|im_start|>abc 12\té<tool><|im_end|>"
    ids = tokenizer.encode(text).ids
    assert ids[0] == 1
    assert ids[-2:] == [3, 2]
    assert metadata["tokenizer.ggml.tokens"].index("abc") in ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_look_alikes_in_untrusted_text_get_no_control_ids() -> None:
    ids = text_tokenizer(tiny_metadata()).encode("<|im_start|>abc<|im_end|>").ids
    assert min(ids) > 3


def test_digits_are_single_tokens() -> None:
    metadata = tiny_metadata()
    metadata["tokenizer.ggml.tokens"] += ["12"]
    metadata["tokenizer.ggml.token_type"] += [1]
    metadata["tokenizer.ggml.merges"] += ["1 2"]
    assert text_tokenizer(metadata).encode("12").tokens == ["1", "2"]
    metadata["tokenizer.ggml.pre"] = "gpt-2"
    assert text_tokenizer(metadata).encode("12").tokens == ["12"]


def test_nothing_is_added_by_itself() -> None:
    document = files_of(add_bos_token=True)["tokenizer.json"]
    assert document["post_processor"] is None
    assert document["truncation"] is None
    assert files_of(add_bos_token=True)["tokenizer_config.json"]["add_bos_token"] is True


def test_all_ends_of_generation_are_listed() -> None:
    assert files_of()["generation_config.json"] == {
        "bos_token_id": 1,
        "eos_token_id": [0, 2],
        "pad_token_id": 0,
    }


def test_suggested_settings_are_part_of_the_bundle() -> None:
    metadata = tiny_metadata()
    metadata |= {"general.sampling.temp": 0.6000000238418579, "general.sampling.top_k": 64}
    written = json.loads(tokenizer_files(metadata)["generation_config.json"])
    assert (written["do_sample"], written["temperature"], written["top_k"]) == (True, 0.6, 64)


def test_padding_is_no_token_that_ends_a_prompt() -> None:
    config = files_of()["tokenizer_config.json"]
    assert config["pad_token"] == "<|endoftext|>"
    assert (config["bos_token"], config["eos_token"]) == ("<|im_start|>", "<|im_end|>")
    assert config["model_max_length"] == 128
    assert choose_pad(SpecialTokens({"<pad>": 7}, bos=1, unk=None, pad=5, ends=[2])) == 5
    assert choose_pad(SpecialTokens({"<pad>": 7}, bos=1, unk=None, pad=2, ends=[2])) == 7
    assert choose_pad(SpecialTokens({}, bos=0, unk=None, pad=None, ends=[0])) == 0
    assert choose_pad(SpecialTokens({}, bos=None, unk=None, pad=None, ends=[])) is None


def test_a_beginning_marked_as_text_is_still_a_control_token() -> None:
    metadata = tiny_metadata()
    metadata["tokenizer.ggml.token_type"][1] = 1
    added = json.loads(tokenizer_files(metadata)["tokenizer.json"])["added_tokens"]
    assert {"<|im_start|>", "<|im_end|>"} <= {t["content"] for t in added if t["special"]}


def test_the_chat_template_is_a_file_of_its_own() -> None:
    metadata = tiny_metadata()
    assert "chat_template.jinja" not in tokenizer_files(metadata)
    metadata["tokenizer.chat_template"] = "{{ messages }}"
    files = tokenizer_files(metadata)
    assert files["chat_template.jinja"] == "{{ messages }}"
    assert "chat_template" not in json.loads(files["tokenizer_config.json"])


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"model": "rwkv"}, "'rwkv'"),
        ({"model": None}, "None"),
        ({"pre": "kimi-k2"}, "'kimi-k2'"),
        ({"pre": ["smollm"]}, "smollm"),
    ],
)
def test_other_tokenizers_are_refused_by_name(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(UnsupportedModelError, match=name):
        tokenizer_files(tiny_metadata(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": None},
        {"tokens": [1, 2]},
        {"tokens": ["a", "a"]},
        {"tokens": ["a", ""]},
        {"merges": None},
        {"merges": ["a"]},
        {"merges": ["a z"]},
        {"merges": ["xx yy"]},
        {"token_type": [1]},
        {"eos_token_id": 10_000},
        {"bos_token_id": -1},
        {"padding_token_id": "0"},
    ],
    ids=str,
)
def test_metadata_that_do_not_fit_together_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BundleCorruptError):
        tokenizer_files(tiny_metadata(**changes))


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
@given(text=st.text())
@example(text="Hello WORLD's\n\n  123456 ſßÉ ❤️ a\u0301 日本語\r\n")
def test_no_pre_tokenizer_loses_anything(name: str, text: str) -> None:
    pieces = find_pre_tokenization(name).build().pre_tokenize_str(text)
    assert decoders.ByteLevel().decode([piece for piece, _ in pieces]) == text


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        ("gpt-2", "it's 1234  x", ["it", "'s", "Ġ1234", "Ġ", "Ġx"]),
        ("refact", "x 1234", ["x", "Ġ", "1", "2", "3", "4"]),
        ("dbrx", "IT'S 12345\n", ["IT", "'S", "Ġ", "123", "45", "Ċ"]),
        ("qwen2", "x12 ", ["x", "1", "2", "Ġ"]),
        ("gpt-4o", "HelloWorld'LL 1234", ["Hello", "World'LL", "Ġ", "123", "4"]),
        ("tekken", "HelloWorld 12", ["Hello", "World", "Ġ", "1", "2"]),
        ("superbpe", "1234567", ["1", "234", "567"]),
        ("deepseek-coder", "a,b\n12", ["a", ",", "b", "Ċ", "1", "2"]),
        ("seed-coder", "a!\n\nb", ["a", "!", "ĊĊ", "b"]),
        ("viking", "a b12", ["a", "Ġb", "1", "2"]),
    ],
)
def test_pieces_by_hand(name: str, text: str, pieces: list[str]) -> None:
    assert [piece for piece, _ in find_pre_tokenization(name).build().pre_tokenize_str(text)] == pieces


VOCABULARIES = Path(os.environ.get("NLPSUITE_TEST_VOCABULARIES", "none"))


@pytest.mark.skipif(not VOCABULARIES.is_dir(), reason="NLPSUITE_TEST_VOCABULARIES names no folder")
def test_real_vocabularies_as_llama_cpp_checks_them() -> None:
    """The folder ``models`` of llama.cpp's sources: vocabularies, texts (.inp), and their ids in transformers (.out)."""
    checked = []
    for path in sorted(VOCABULARIES.glob("ggml-vocab-*.gguf")):
        metadata, texts = GGUFFile.open(path).metadata, path.with_suffix(".gguf.inp")
        known = metadata["tokenizer.ggml.model"] in ("gpt2", "llama")
        if not known or not texts.is_file():
            continue
        tokenizer = Tokenizer.from_str(tokenizer_files(metadata)["tokenizer.json"])
        tokenizer.encode_special_tokens = True
        lines = path.with_suffix(".gguf.out").read_text().split("\n")
        rows = texts.read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
        for text, line in zip(rows, lines, strict=True):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            assert ids == [int(i) for i in line.split()], (path.name, text)
        checked.append(path.name)
    assert len(checked) > 8


@pytest.mark.model
def test_default_model_equals_llama_cpp_token_for_token(default_gguf: Path) -> None:
    tokenizer = text_tokenizer(GGUFFile.open(default_gguf).metadata)
    for row in ROWS:
        assert tokenizer.encode(row["text"], add_special_tokens=False).ids == row["ids"], row["text"]


@pytest.mark.model
@pytest.mark.parametrize("name", OTHER_PRE_TOKENIZERS)
def test_other_pre_tokenizers_equal_llama_cpp(default_gguf: Path, name: str) -> None:
    metadata = GGUFFile.open(default_gguf).metadata | {"tokenizer.ggml.pre": name}
    tokenizer = text_tokenizer(metadata)
    for row, ids in zip(ROWS, OTHER_PRE_TOKENIZERS[name], strict=True):
        assert tokenizer.encode(row["text"], add_special_tokens=False).ids == ids, row["text"]


@pytest.mark.model
def test_default_model_is_rebuilt_quickly(default_gguf: Path) -> None:
    metadata = GGUFFile.open(default_gguf).metadata
    start = time.perf_counter()
    files = tokenizer_files(metadata)
    assert time.perf_counter() - start < 2  # 0.2 s on an idle machine
    assert json.loads(files["generation_config.json"]) == {
        "bos_token_id": 1,
        "eos_token_id": [0, 2],
        "pad_token_id": 0,
    }
    assert "<|im_start|>" in files["chat_template.jinja"]
