"""Ids and texts beside llama.cpp itself: NLPSUITE_TEST_LLAMACPP_PYTHON names a Python that has the package xllamacpp.

The package carries llama.cpp's server prebuilt. NLPSUITE_TEST_GEMMA adds Gemma 3 270M, see test_second_model.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_golden_token_ids import TEXTS
from sentencepiece_files import metadata_of
from tiny import LLAMA, random_weights, write_tiny_gguf

from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.gguf import GGUFFile
from nlpsuite.models.gguf_pre_tokenizers import PRE_TOKENIZERS
from nlpsuite.runtime.device import Device
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prefill import feed
from nlpsuite.runtime.prompt import Prompt
from nlpsuite.runtime.session import SlotSession
from nlpsuite.runtime.tokenizer import Tokenizer

PYTHON = os.environ.get("NLPSUITE_TEST_LLAMACPP_PYTHON", "")
GEMMA = os.environ.get("NLPSUITE_TEST_GEMMA", "")
TESTS = Path(__file__).parents[1]
WORKER = TESTS.parent / "benchmarks" / "workers" / "llama_server.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="NLPSUITE_TEST_LLAMACPP_PYTHON names no Python with xllamacpp"),
]
needs_gemma = pytest.mark.skipif(not Path(GEMMA).is_file(), reason="NLPSUITE_TEST_GEMMA names no file")

# Whose author's rule llama.cpp only approaches: a letter outside ASCII counts as upper and lower case at once.
APPROACHED = ("gpt-4o", "tekken")

Ask = Callable[[str, dict[str, Any]], Any]


@contextlib.contextmanager
def llama_cpp(model: Path, context: int = 512) -> Iterator[Ask]:
    """llama.cpp's server with a model; gives a function that posts to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--slots", "1", "--context", str(context), "--threads", "2", "--port", str(port)]
    process = subprocess.Popen(
        [PYTHON, str(WORKER), str(model), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def ask(path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)

    try:
        end = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError, urllib.error.HTTPError):
                ask("tokenize", {"content": "ready"})
                break
            assert process.poll() is None, f"llama.cpp doesn't read {model.name}"
            assert time.monotonic() < end, "llama.cpp doesn't answer"
            time.sleep(0.1)
        yield ask
    finally:
        process.terminate()
        process.wait(30)


def assert_same_ids(model: Path, directory: Path, texts: list[str]) -> None:
    """Every text, look-alikes of control tokens too, as text."""
    directory.mkdir()
    for name, text in open_checkpoint(model).tokenizer_files().items():
        (directory / name).write_text(text, encoding="utf-8", newline="")
    tokenizer = Tokenizer.open(directory)
    with llama_cpp(model) as ask:
        theirs = [ask("tokenize", {"content": text, "parse_special": False})["tokens"] for text in texts]
    differing = [
        (text, ours, ids) for text, ids in zip(texts, theirs) if (ours := tokenizer.encode_text(text)) != ids
    ]
    assert not differing
    assert sum(map(len, theirs)) > 700


def with_vocabulary(path: Path, metadata: dict[str, Any]) -> Path:
    """A tiny model with these tokens."""
    config = dataclasses.replace(LLAMA, vocab_size=len(metadata["tokenizer.ggml.tokens"]))
    write_tiny_gguf(path, config, random_weights(config), metadata=metadata)
    return path


@pytest.mark.model
def test_ids_of_the_default_model(default_gguf: Path, tmp_path: Path) -> None:
    assert_same_ids(default_gguf, tmp_path / "tokenizer", TEXTS)


@needs_gemma
def test_ids_of_gemma(tmp_path: Path) -> None:
    assert_same_ids(Path(GEMMA), tmp_path / "tokenizer", TEXTS)


@pytest.mark.model
@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_ids_of_the_default_vocabulary_under_other_rules(
    default_gguf: Path, tmp_path: Path, name: str
) -> None:
    given = GGUFFile.open(default_gguf).metadata
    kept = {key: given[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type", "merges")}
    metadata = {f"tokenizer.ggml.{key}": value for key, value in kept.items()} | {"tokenizer.ggml.pre": name}
    model = with_vocabulary(tmp_path / "tiny.gguf", metadata)
    texts = [text for text in TEXTS if text.isascii()] if name in APPROACHED else TEXTS
    assert_same_ids(model, tmp_path / "tokenizer", texts)


# llama.cpp has no byte fallback in unigram tokenizers, so "unigram-bytes" is left to SentencePiece.
@pytest.mark.parametrize("name", ["bpe-bytes", "bpe-plain", "unigram-rules"])
def test_ids_of_sentencepiece(tmp_path: Path, name: str) -> None:
    metadata = metadata_of(name)
    key = "tokenizer.ggml.precompiled_charsmap"
    metadata[key] = bytes(metadata[key]) or None
    others = {"tokenizer.ggml.merges": None, "tokenizer.ggml.pre": None}
    model = with_vocabulary(tmp_path / "tiny.gguf", metadata | others)
    assert_same_ids(model, tmp_path / "tokenizer", TEXTS)


# Gemma's figures


TEXT = (TESTS / "fixtures" / "perplexity.txt").read_text(encoding="utf-8")
WINDOW = 256


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LanguageModel, Ask]]:
    from nlpsuite.export.build import build_bundle

    bundle = build_bundle(
        open_checkpoint(Path(GEMMA)), tmp_path_factory.mktemp("gemma") / "bundle", precision="fp32"
    )
    with llama_cpp(Path(GEMMA)) as ask:
        yield LanguageModel.load(bundle, device="cpu"), ask


def logits_after(model: LanguageModel, ids: list[int]) -> Any:
    """After each token: (tokens, V)."""
    session = SlotSession(model.bundle.path / "onnx" / "slots.onnx", Device("cpu"), threads=2)
    return feed(session, [ids], np.zeros(1, np.int64), first=0, read_all=True)[0].astype(np.float64)


@needs_gemma
@pytest.mark.parametrize("text", ["The capital of France is", "def fibonacci(n):\n"])
def test_gemma_writes_what_llama_cpp_writes(gemma: tuple[LanguageModel, Ask], text: str) -> None:
    """But for near ties: llama.cpp rounds activations to 8 bits, which our graph in fp32 doesn't."""
    model, ask = gemma
    ids = model.tokenizer.encode_prompt(Prompt(text=text))
    wanted = {"prompt": ids, "n_predict": 24, "temperature": 0, "return_tokens": True}
    theirs = ask("completion", wanted)["tokens"]
    assert len(theirs) > 20
    logits = logits_after(model, ids + theirs)[len(ids) - 1 : -1]
    behind = logits.max(axis=1) - logits[np.arange(len(theirs)), theirs]
    assert (behind < 0.5).all() and (behind == 0).mean() > 0.85


@needs_gemma
def test_gemmas_perplexity_is_llama_cpps(gemma: tuple[LanguageModel, Ask]) -> None:
    model, ask = gemma
    ids = model.tokenizer.encode_prompt(Prompt(text=TEXT))[: WINDOW + 1]
    logits = logits_after(model, ids)
    ours = (logits - logsumexp(logits))[np.arange(WINDOW), ids[1:]]
    theirs = []
    for place in range(1, len(ids)):
        # The bias makes it draw the text's token; the probability that comes back is that without bias.
        wanted = {"logit_bias": [[ids[place], 1000]], "n_probs": 1, "n_predict": 1, "temperature": 0}
        [drawn] = ask("completion", {"prompt": ids[:place], **wanted})["completion_probabilities"]
        assert drawn["id"] == ids[place]
        theirs.append(drawn["logprob"])
    perplexities = np.exp([-ours.mean(), -np.mean(theirs)])
    print("perplexity:", perplexities)
    assert perplexities[0] == pytest.approx(perplexities[1], rel=0.02)


def logsumexp(logits: Any) -> Any:
    largest = logits.max(axis=-1, keepdims=True)
    return largest + np.log(np.exp(logits - largest).sum(axis=-1, keepdims=True))
