"""Perplexity by moving windows: against a plain loop, and against transformers as its guide does it."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import LSTM, write_tiny_checkpoint

from nlpsuite.errors import InputInvalidError, InputTooLongError, OptionError
from nlpsuite.evaluation.metrics.perplexity import bits_per_byte, perplexity, word_perplexity
from nlpsuite.evaluation.metrics.resampling import estimate
from nlpsuite.evaluation.perplexity import (
    TextLikelihood,
    resampled_unit,
    rows_of,
    text_perplexity,
    windows,
)
from nlpsuite.runtime.language_model import LanguageModel

WORDS = "the cat and the dog sat on 3 mats in Köln while it was raining, or so they said;".split()


def words(count: int, start: int = 0) -> str:
    return " ".join(itertools.islice(itertools.cycle(WORDS), start, start + count))


TEXTS = [words(n, n) for n in (3, 90, 1, 200, 40, 7)]


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> LanguageModel:
    return LanguageModel.load(tiny_bundle, device="cpu", threads=1, max_slots=3)


@pytest.fixture(scope="module")
def torch_logprobs(tiny_decoder: Any) -> Callable[[list[int]], np.ndarray]:
    import torch

    def logprobs(ids: list[int]) -> np.ndarray:
        with torch.no_grad():
            steps = tiny_decoder(torch.tensor([ids]))[0][0].double().log_softmax(-1)
        return np.array([float(steps[i, token]) for i, token in enumerate(ids[1:])])

    return logprobs


# The runtime's part.


def test_tokens_of_many_rows(model: LanguageModel, torch_logprobs: Callable[..., np.ndarray]) -> None:
    rows = [model.tokenizer.encode_text(words(n, n)) for n in (30, 1, 4, 60, 2, 60, 9)]
    begins = [20, 1, 1, 40, 1, 100, len(rows[6]) - 1]
    assert len(rows[3]) > 130
    for row, begin, found in zip(rows, begins, model.many_token_logprobs(rows, begins), strict=True):
        np.testing.assert_allclose(found, torch_logprobs(row)[begin - 1 :], atol=1e-3)
    assert model.many_token_logprobs([], []) == []
    with pytest.raises(InputTooLongError, match="257"):
        model.many_token_logprobs([[5] * 257], [1])


def test_tokens_of_many_rows_of_a_recurrent_model(tmp_path: Path) -> None:
    from nlpsuite.export.build import build_bundle
    from nlpsuite.models.checkpoint import open_checkpoint

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("onnxscript")
        checkpoint = open_checkpoint(write_tiny_checkpoint(tmp_path / "lstm", config=LSTM))
        bundle = build_bundle(checkpoint, tmp_path / "bundle", precision="fp32", source="random weights")
    recurrent = LanguageModel.load(bundle, device="cpu", threads=1, max_slots=4)
    texts = [words(n, n) for n in (60, 2, 30, 9)]
    rows = [recurrent.tokenizer.encode_text(text) for text in texts]
    found = recurrent.many_token_logprobs(rows, [1] * 4)
    for text, each in zip(texts, found):
        recurrent.reset()
        np.testing.assert_allclose(each, recurrent.token_logprobs(text), atol=1e-5)
    recurrent.reset()
    again = recurrent.many_token_logprobs(rows, [1] * 4)
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(again))


# Windows.


@given(st.integers(1, 300), st.integers(2, 40), st.integers(1, 39))
def test_every_token_is_scored_once_with_enough_before_it(length: int, context: int, stride: int) -> None:
    stride = min(stride, context - 1)
    scored = []
    for begin, end, first in windows(length, context, stride):
        assert 0 <= begin < first < end <= length and end - begin <= context
        assert begin == 0 or first - begin >= context - stride
        scored += range(first, end)
    assert scored == list(range(1, length))


def test_one_window_is_the_whole_text(model: LanguageModel) -> None:
    (found,) = text_perplexity(model, ["the cat sat"], context=64)
    ids = model.tokenizer.encode_text("the cat sat")
    assert (found.tokens, found.words, found.bytes) == (len(ids), 3, 11)
    assert found.blocks == ((found.log_likelihood, len(ids)),)


@pytest.mark.parametrize(("context", "stride"), [(256, None), (64, None), (64, 48), (64, 1), (33, 7), (2, 1)])
def test_against_a_plain_loop(
    model: LanguageModel, torch_logprobs: Callable[..., np.ndarray], context: int, stride: int | None
) -> None:
    texts = TEXTS if context > 32 and stride != 1 else TEXTS[:2]
    step = stride or context // 2
    for text, found in zip(texts, text_perplexity(model, texts, context, stride), strict=True):
        ids = [min(model.bundle.end_token_ids), *model.tokenizer.encode_text(text)]
        total = 0.0
        for place in range(1, len(ids)):  # the first window that reaches it
            number = max(0, math.ceil((place + 1 - context) / step))
            window = ids[number * step : place + 1]
            total += float(torch_logprobs(window)[-1])
        assert found.log_likelihood == pytest.approx(total, abs=2e-3 * len(ids))
        assert found.tokens == len(ids) - 1
        assert [tokens for _, tokens in found.blocks[:-1]] == [128] * ((len(ids) - 2) // 128)
        assert sum(likelihood for likelihood, _ in found.blocks) == pytest.approx(found.log_likelihood)


def test_as_the_guide_of_transformers_computes_it(model: LanguageModel, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers")
        import torch

        theirs = transformers.AutoModelForCausalLM.from_pretrained(write_tiny_checkpoint(tmp_path / "hf"))
    text, max_length, stride = words(300), 64, 32
    ids = torch.tensor([[min(model.bundle.end_token_ids), *model.tokenizer.encode_text(text)]])
    total, count, previous = 0.0, 0, 0
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + max_length, ids.shape[1])
        inputs = ids[:, begin:end]
        labels = inputs.clone()
        labels[:, : -(end - previous)] = -100
        with torch.no_grad():
            loss = float(theirs(inputs, labels=labels).loss)
        scored = int((labels[:, 1:] != -100).sum())
        total, count, previous = total + loss * scored, count + scored, end
        if end == ids.shape[1]:
            break
    likelihoods = list(text_perplexity(model, [text], max_length, stride))
    ours = estimate(perplexity, rows_of(likelihoods))
    assert likelihoods[0].tokens == count > 5 * max_length
    assert ours.value == pytest.approx(math.exp(total / count), rel=1e-4)


def test_results_do_not_depend_on_what_is_beside_a_text(model: LanguageModel) -> None:
    together = list(text_perplexity(model, iter(TEXTS * 5), 40))
    assert len(together) == 5 * len(TEXTS)
    for i, text in enumerate(TEXTS):
        (alone,) = text_perplexity(model, [text], 40)
        for copy in range(5):
            assert together[i + copy * len(TEXTS)].log_likelihood == pytest.approx(
                alone.log_likelihood, rel=1e-5
            )


@pytest.mark.parametrize(("context", "stride"), [(1, None), (257, None), (64, 0), (64, 64)])
def test_what_is_out_of_range(model: LanguageModel, context: int, stride: int | None) -> None:
    with pytest.raises(OptionError):
        text_perplexity(model, ["a"], context, stride)


def test_empty_texts(model: LanguageModel) -> None:
    assert list(text_perplexity(model, [], 64)) == []
    with pytest.raises(InputInvalidError, match="Text 2 is empty"):
        list(text_perplexity(model, ["a", ""], 64))


# Figures.


def likelihood(*blocks: tuple[float, int], words: int = 6, nbytes: int = 30) -> TextLikelihood:
    return TextLikelihood(sum(b[0] for b in blocks), sum(b[1] for b in blocks), words, nbytes, blocks)


def test_figures_of_few_texts_are_drawn_from_blocks() -> None:
    texts = [likelihood((-8.0, 4), (-4.0, 4), (-4.0, 2)), likelihood((-2.0, 2), words=1, nbytes=10)]
    rows = rows_of(texts)
    assert (resampled_unit(texts), rows.shape) == ("blocks of 128 tokens", (4, 4))
    np.testing.assert_allclose(rows.sum(axis=0), [18, 12, 7, 40])
    found = estimate(perplexity, rows)
    assert found.value == pytest.approx(math.exp(18 / 12))
    assert 1 < found.low < found.value < found.high
    assert estimate(word_perplexity, rows).value == pytest.approx(math.exp(18 / 7))
    assert estimate(bits_per_byte, rows).value == pytest.approx(18 / 40 / math.log(2))


def test_figures_of_many_texts_are_drawn_from_texts() -> None:
    texts = [likelihood((-float(i), 4), (-1.0, 4)) for i in range(12)]
    rows = rows_of(texts)
    assert (resampled_unit(texts), rows.shape) == ("texts", (12, 4))
    np.testing.assert_array_equal(rows[3], [4, 8, 6, 30])
