"""Defaults that depend on the architecture and the corpus."""

from __future__ import annotations

from typing import Any

import pytest

from nlpsuite.training.lm import model_config
from nlpsuite.training.settings import LMSettings


@pytest.mark.parametrize(
    "tokens, hidden", [(1_000, 256), (250_000, 512), (4_000_000, 1_024), (64_000_000, 2_048), (10**10, 2_048)]
)
def test_an_lstm_is_sized_to_its_corpus(tokens: int, hidden: int) -> None:
    config: Any = model_config(LMSettings(arch="lstm"), 10_000, tokens)
    assert (config.hidden_size, config.embedding_size) == (hidden, hidden // 2)
    assert config.tie_word_embeddings
    given: Any = model_config(LMSettings(arch="lstm", hidden=100, tied=False), 10_000, tokens)
    assert (given.hidden_size, given.embedding_size, given.tie_word_embeddings) == (100, 50, False)


def test_rates_left_out_are_the_architectures() -> None:
    assert (LMSettings().lr, LMSettings().dropout) == (2e-3, 0.2)
    lstm = LMSettings(arch="lstm", batch_tokens=2_048)
    assert (lstm.lr, lstm.dropout, lstm.ema, lstm.context, lstm.batch_tokens) == (4e-3, 0.4, 0.998, 64, 2_048)
    assert (LMSettings().ema, LMSettings().context, LMSettings().batch_tokens) == (0.0, 256, 4_096)
    assert (LMSettings(arch="lstm", lr=1e-3).lr, LMSettings(arch="lstm", dropout=0.0).dropout) == (1e-3, 0.0)
