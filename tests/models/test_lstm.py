"""The recurrent model: equal to torch's LSTM, and rows of any length side by side."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import LSTM, TIED_LSTM, VOCABULARY, random_weights, write_tiny_checkpoint

from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.config import LSTMConfig

TOLERANCE = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(scope="module", params=[LSTM, TIED_LSTM], ids=["untied", "tied"])
def config(request: pytest.FixtureRequest) -> LSTMConfig:
    config: LSTMConfig = request.param
    return config


@pytest.fixture(scope="module")
def module(config: LSTMConfig, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with warnings.catch_warnings():  # torch's own, at import
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        from nlpsuite.models.language_module import load_module
    torch.set_num_threads(1)
    return load_module(open_checkpoint(write_tiny_checkpoint(tmp_path_factory.mktemp("lstm"), config=config)))


def token_ids(rows: int, length: int) -> Any:
    import torch

    return torch.from_numpy(np.random.default_rng(1).integers(3, VOCABULARY, (rows, length)))


def expected_logits(config: LSTMConfig, ids: Any) -> Any:
    """By plain layers of torch that know nothing of our module: (rows, length, vocabulary)."""
    import torch

    weights = {name: torch.from_numpy(values) for name, values in random_weights(config).items()}
    lstm = torch.nn.LSTM(LSTM.embedding_size, LSTM.hidden_size, LSTM.num_layers, batch_first=True)
    lstm.load_state_dict(
        {name.removeprefix("lstm."): v for name, v in weights.items() if name.startswith("lstm.")}
    )
    with torch.no_grad():
        outputs, _ = lstm(weights["embedding.weight"][ids])
        head = weights["lm_head.weight"] if "lm_head.weight" in weights else weights["embedding.weight"]
        if "projection.weight" in weights:
            outputs = outputs @ weights["projection.weight"].T
        return outputs @ head.T + weights["lm_head.bias"]


def run(module: Any, ids: Any, state: Any = None) -> Any:
    import torch

    with torch.no_grad():
        return module(ids, state)


def test_a_whole_sequence_equals_torch(module: Any) -> None:
    import torch

    ids = token_ids(3, 20)
    logits, state = run(module, ids)
    assert state is None
    torch.testing.assert_close(logits, expected_logits(module.config, ids), **TOLERANCE)


def test_ragged_rows_token_by_token(module: Any) -> None:
    import torch

    ids = token_ids(3, 20)
    expected = expected_logits(module.config, ids)
    state, seen = module.empty_state(3, 32), [0, 0, 0]
    for counts in [(4, 1, 0), (0, 2, 5), (1, 1, 1), (1, 1, 1), (6, 3, 4)]:
        chunk = torch.full((3, max(counts)), 5)
        for row, count in enumerate(counts):
            chunk[row, :count] = ids[row, seen[row] : seen[row] + count]
        logits, state = run(module, chunk, state._replace(lengths=torch.tensor(counts)))
        for row, count in enumerate(counts):
            torch.testing.assert_close(
                logits[row, :count], expected[row, seen[row] : seen[row] + count], **TOLERANCE
            )
            seen[row] += count
        assert state.write_indices.tolist() == seen


def test_a_fresh_row_forgets_what_its_slot_held(module: Any) -> None:
    import torch

    ids = token_ids(2, 6)
    used = tuple(torch.full_like(tensor, 3.0) for tensor in module.empty_state(2, 8).tensors)
    state = module.empty_state(2, 8)._replace(tensors=used, write_indices=torch.tensor([0, 4]))
    logits, after = run(module, ids, state)
    expected = expected_logits(module.config, ids)
    torch.testing.assert_close(logits[0], expected[0], **TOLERANCE)
    assert (logits[1] - expected[1]).abs().max() > 0.1  # the other row goes on from its state
    assert after.write_indices.tolist() == [6, 10]


def test_a_row_without_tokens_keeps_its_state(module: Any) -> None:
    import torch

    _, state = run(module, token_ids(2, 5), module.empty_state(2, 8))
    _, after = run(module, token_ids(2, 3), state._replace(lengths=torch.tensor([3, 0])))
    for before, now in zip(state.tensors, after.tensors):
        torch.testing.assert_close(now[1], before[1], atol=0, rtol=0)
        assert (now[0] - before[0]).abs().max() > 1e-3
    assert after.write_indices.tolist() == [8, 5]


def test_an_lstm_is_written_and_read(tmp_path: Path) -> None:
    weights = random_weights(LSTM, seed=3)
    checkpoint = open_checkpoint(write_tiny_checkpoint(tmp_path / "lstm", seed=3, config=LSTM))
    assert checkpoint.config == LSTM
    assert checkpoint.tensor_names() == list(weights)
    for name, values in weights.items():
        np.testing.assert_array_equal(checkpoint.tensor(name), values)


def test_dropout_holds_for_all_steps_and_only_in_training(module: Any) -> None:
    import torch

    ids = token_ids(2, 12)
    module.set_dropout(0.5)
    try:
        torch.testing.assert_close(module(ids)[0], expected_logits(module.config, ids), **TOLERANCE)
        module.train()
        torch.manual_seed(0)
        hidden, _ = module.hidden(ids)
        dropped = (hidden == 0).all(dim=1)  # (rows, features): in every step
        assert ((hidden == 0).any(dim=1) == dropped).all()
        assert 0.2 < dropped.float().mean() < 0.8
        torch.manual_seed(0)
        assert (module.hidden(ids)[0] == hidden).all()
    finally:
        module.eval()
        module.set_dropout(0.0)
