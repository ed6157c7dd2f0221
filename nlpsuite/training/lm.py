"""``train lm``: a language model from a text corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tokenizers
import torch
from torch import nn

from nlpsuite.files import atomic_write_text, storage_errors
from nlpsuite.models.config import DecoderConfig, GPT2Config, LSTMConfig, ModelConfig
from nlpsuite.models.language_module import LanguageModule
from nlpsuite.training.batch import Batch, pad_rows
from nlpsuite.training.corpus import read_corpus, split_corpus
from nlpsuite.training.settings import LMSettings
from nlpsuite.training.tokens import TokenFile, load_tokenizer, pack, train_tokenizer
from nlpsuite.training.windows import Windows

__all__ = ["END_ID", "LMData", "LMRecipe", "lstm_size", "model_config", "prepare_data"]

END_ID = 0
"""The token <|endoftext|>, which follows each document."""


@dataclass(frozen=True)
class LMData:
    """A corpus as tokens: the part to train on, and the part held out."""

    tokenizer: tokenizers.Tokenizer
    train: TokenFile
    heldout: TokenFile


def prepare_data(sources: list[str], place: Path, settings: LMSettings) -> LMData:
    """The corpus as tokens: read, split, tokenised and packed the first time, opened afterwards.

    The tokenizer is trained on the training part alone.

    Raises:
        InputNotFoundError, InputInvalidError: the corpus can't be read or is too small.
        StorageError: the tokens can't be written.
    """
    tokenizer_file = place / "tokenizer.json"
    if not (place / "heldout.json").exists():  # written last
        with storage_errors(place):
            place.mkdir(exist_ok=True)
        corpus = read_corpus(sources, text_key=settings.text_key, encoding=settings.encoding)
        train, heldout = split_corpus(corpus, settings.heldout)
        tokenizer = train_tokenizer(train, settings.vocab_size)
        atomic_write_text(tokenizer_file, tokenizer.to_str())
        pack(train, tokenizer, place / "train")
        pack(_beginning(heldout, settings.heldout_characters), tokenizer, place / "heldout")
    return LMData(
        load_tokenizer(tokenizer_file), TokenFile.open(place / "train"), TokenFile.open(place / "heldout")
    )


def _beginning(texts: Iterable[str], characters: int) -> Iterator[str]:
    """The first ``characters`` characters of the texts: validating on more would only take time."""
    for text in texts:
        yield text[:characters]
        characters -= len(text)
        if characters <= 0:
            return


def model_config(settings: LMSettings, vocab_size: int, tokens: int) -> ModelConfig:
    """The model of the settings; sizes left out get defaults, the LSTM's for a corpus of ``tokens`` tokens."""
    if settings.arch == "lstm":
        hidden = settings.hidden or lstm_size(tokens)
        return LSTMConfig(
            vocab_size,
            settings.embedding or -(-hidden // 2),
            hidden,
            settings.layers or 1,
            tie_word_embeddings=settings.tied,
        )
    hidden = settings.hidden or 256
    heads = settings.heads or max(1, hidden // 64)
    layers = settings.layers or 6
    if settings.arch == "gpt2":
        return GPT2Config(vocab_size, settings.context, hidden, layers, heads, 4 * hidden)
    return DecoderConfig(
        vocab_size=vocab_size,
        hidden_size=hidden,
        # SwiGLU has three matrices instead of two: 8/3 makes them as large together.
        intermediate_size=-(-8 * hidden // 3 // 32) * 32,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=hidden // heads // 2 * 2,
        max_position_embeddings=settings.context,
    )


def lstm_size(tokens: int) -> int:
    """Hidden size for a corpus: 512 for a quarter of a million tokens, twice that for each 16 times as many.

    Recurrent weights then grow with the square root of the corpus. What a small corpus doesn't fill is learned by heart.
    """
    return int(64 * min(32, max(4, round(8 * (tokens / 250_000) ** 0.25))))


class LMRecipe:
    """Windows of a corpus; a ``Recipe``.

    Held-out windows overlap by half, and only the second half of each is predicted, so that every token
    but the first ones has at least half a context before it.
    """

    def __init__(self, module: LanguageModule, data: LMData, settings: LMSettings) -> None:
        self.module = module
        self._data, self._context = data, settings.context
        self._rows = max(1, settings.batch_tokens // settings.context)
        self._windows = Windows(data.train.tokens, settings.context, settings.seed)

    def trainable(self) -> dict[str, nn.Parameter]:
        return dict(self.module.named_parameters())

    def batch(self, index: int) -> Batch:
        rows = torch.from_numpy(self._windows.batch(index * self._rows, self._rows))  # (rows, context + 1)
        return Batch(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())

    def heldout(self) -> Iterator[Batch]:
        return _overlapping(self._data.heldout.tokens, self._context, self._rows)

    def metrics(self, loss: float) -> dict[str, float]:
        heldout = self._data.heldout
        return heldout.perplexity(loss * heldout.count).figures()


def _overlapping(tokens: npt.NDArray[np.integer], context: int, rows: int) -> Iterator[Batch]:
    """Batches of windows over all of ``tokens``; each token is the label of exactly one position."""
    stream = np.concatenate(([END_ID], tokens)).astype(np.int64)  # the first token follows an end
    step = max(1, context // 2)
    starts = list(range(0, max(1, len(stream) - 1 - context + step), step))
    for at in range(0, len(starts), rows):
        yield pad_rows([
            (stream[start : start + context + 1], 1 + (context - step if start else 0))
            for start in starts[at : at + rows]
        ])  # fmt: skip
