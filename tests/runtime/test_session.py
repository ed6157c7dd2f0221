"""The session: torch's logits, rows that don't disturb each other, state kept in place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlpsuite.errors import BundleCorruptError
from nlpsuite.runtime.device import Device
from nlpsuite.runtime.prefill import feed, prefill
from nlpsuite.runtime.session import SlotSession

VOCABULARY = 302
TOLERANCE = 1e-3  # logits here are of size 10; two right implementations differ by rounding alone

Logits = np.ndarray
Reference = Callable[[list[int]], Logits]


@pytest.fixture
def session(tiny_bundle: Path) -> SlotSession:
    return SlotSession(tiny_bundle / "onnx" / "slots.onnx", Device("cpu"), threads=1)


@pytest.fixture
def torch_logits(tiny_decoder: Any) -> Reference:
    """Logits (S, V) of a whole sequence, by the training model without any state."""
    import torch

    def logits(ids: list[int]) -> Logits:
        with torch.no_grad():
            out: Logits = tiny_decoder(torch.tensor([ids]))[0][0].numpy()
        return out

    return logits


def tokens(count: int, seed: int = 0) -> list[int]:
    return [int(i) for i in np.random.default_rng(seed).integers(0, VOCABULARY - 10, count)]


def read(session: SlotSession, ids: list[int], slot: int = 0, start: int = 0) -> Logits:
    """Logits (S, V) after each of the ids, in one run."""
    session.reserve(slot + 1, start + len(ids))
    return session.run(np.array([ids]), np.array([start]), np.arange(len(ids))[None], slot)[0]


def assert_close(a: Logits, b: Logits) -> None:
    assert a.shape == b.shape
    assert np.abs(b).max() > 1  # something is there to compare
    assert np.abs(a - b).max() <= TOLERANCE


def test_the_graph_gives_torchs_logits(session: SlotSession, torch_logits: Reference) -> None:
    ids = tokens(200)
    assert_close(read(session, ids), torch_logits(ids))


def test_torchs_own_state_gives_the_same(tiny_decoder: Any, torch_logits: Reference) -> None:
    torch = pytest.importorskip("torch")
    rows = [tokens(12, 1), tokens(12, 2)]
    state = tiny_decoder.empty_state(2, 40)
    parts = []
    with torch.no_grad():
        for a, b in ((0, 5), (5, 6), (6, 12)):
            logits, state = tiny_decoder(torch.tensor([row[a:b] for row in rows]), state)
            parts.append(logits.numpy())
    together = np.concatenate(parts, axis=1)
    for i, row in enumerate(rows):
        assert_close(together[i], torch_logits(row))


def test_one_read_is_the_token_by_token_reading(session: SlotSession, torch_logits: Reference) -> None:
    ids = tokens(60)
    steps = np.concatenate([read(session, [token], start=at) for at, token in enumerate(ids)])
    assert_close(steps, torch_logits(ids))


def test_only_the_logits_asked_for_are_returned(session: SlotSession) -> None:
    ids = tokens(20)
    every = read(session, ids)
    session.reserve(1, 20)
    some = session.run(np.array([ids]), np.array([0]), np.array([[19, 3, 3]]))
    assert some.shape == (1, 3, VOCABULARY) and some.dtype == np.float32
    assert_close(some[0], every[[19, 3, 3]])


def test_ragged_rows_in_one_batch(session: SlotSession, torch_logits: Reference) -> None:
    rows = [tokens(n, n) for n in (3, 50, 1, 17)]
    logits = feed(session, rows, np.zeros(4, np.int64), first=0)
    for i, row in enumerate(rows):
        assert_close(logits[i], torch_logits(row)[-1:])
    # And on, each row from its own length.
    more = [tokens(n, 100 + n) for n in (4, 2, 9, 1)]
    logits = feed(session, more, np.array([len(row) for row in rows]), first=0, read_all=True)
    for i, (row, new) in enumerate(zip(rows, more)):
        assert_close(logits[i, : len(new)], torch_logits(row + new)[len(row) :])


def test_reading_in_several_chunks(
    session: SlotSession, torch_logits: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlpsuite.runtime import prefill as module

    monkeypatch.setattr(module, "_CHUNK", 12)
    rows = [tokens(n, n) for n in (3, 50, 4, 17)]
    for read_all in (False, True):
        logits = feed(session, rows, np.zeros(4, np.int64), first=0, read_all=read_all)
        for i, row in enumerate(rows):
            last = logits[i, len(row) - 1] if read_all else logits[i, 0]
            assert_close(last, torch_logits(row)[-1])
    assert session.length == 64  # no more memory than the longest row needs


def test_feeding_reserves_what_it_uses_and_no_more(session: SlotSession) -> None:
    feed(session, [tokens(20)], np.zeros(1, np.int64), first=0)
    assert (session.slots, session.length) == (1, 64)
    feed(session, [tokens(100)], np.array([28]), first=0)
    assert session.length == 128
    feed(session, [tokens(1)], np.array([128]), first=0)
    assert session.length == 192


def test_a_row_alone_is_read_in_short_chunks(
    session: SlotSession, torch_logits: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlpsuite.runtime import prefill as module

    monkeypatch.setattr(module, "_CHUNK", 120)
    monkeypatch.setattr(module, "_CHUNK_ALONE", 30)
    shapes = []
    run = session.run
    monkeypatch.setattr(session, "run", lambda ids, *rest: shapes.append(ids.shape) or run(ids, *rest))
    row = tokens(100)
    assert_close(feed(session, [row], np.zeros(1, np.int64), first=0)[0], torch_logits(row)[-1:])
    assert shapes == [(1, 30), (1, 30), (1, 30), (1, 10)]
    shapes.clear()
    feed(session, [row, row], np.zeros(2, np.int64), first=0)
    assert shapes == [(2, 60), (2, 40)]


def test_a_row_alone_reads_only_the_positions_it_needs(session: SlotSession, torch_logits: Reference) -> None:
    def bound(count: int, needed: int) -> set[tuple[int, ...]]:
        outputs = session._binding(1, count, needed).get_outputs()
        return {tuple(output.shape()) for output in outputs[: len(session._states)]}

    session.reserve(3, 250)
    ids, other = tokens(150), tokens(150, 5)
    read(session, other, slot=2)
    for a, b in ((0, 10), (10, 64), (64, 65), (65, 150)):
        assert_close(read(session, ids[a:b], slot=1, start=a), torch_logits(ids)[a:b])
    assert bound(1, 64) == {(1, 64, 32)} and bound(1, 65) == {(1, 128, 32)}
    assert bound(2, 65) == {(2, 256, 32)}  # rows lie a whole cache apart
    # Both go on together, from where they were left.
    logits = session.run(np.array([[7], [8]]), np.full(2, 150), np.zeros((2, 1), np.int64), first=1)
    for i, row in enumerate(([*ids, 7], [*other, 8])):
        assert_close(logits[i], torch_logits(row)[-1:])


@pytest.mark.parametrize("lengths", [[40], [40, 40], [30, 31, 90], [26, 200, 27, 26, 60]])
def test_a_shared_beginning_is_computed_once(
    session: SlotSession, torch_logits: Reference, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tokens(25)
    rows = [shared + tokens(n - 25, n + i) for i, n in enumerate(lengths)]
    computed = []
    run = session.run
    monkeypatch.setattr(session, "run", lambda ids, *rest: computed.append(ids.size) or run(ids, *rest))
    logits = prefill(session, rows, first=0)
    for i, row in enumerate(rows):
        assert_close(logits[i], torch_logits(row)[-1])
    if len(rows) > 1:
        assert computed[0] == 25 and sum(computed[1:]) >= sum(lengths) - 25 * len(lengths)
        assert sum(computed[1:]) < sum(lengths)


def test_equal_rows_and_rows_of_one_token(session: SlotSession, torch_logits: Reference) -> None:
    row = tokens(30)
    for rows in ([row, row, row], [row, row[:-1]], [row, row[:1]], [[5], [6]]):
        logits = prefill(session, sorted(rows, key=len), first=2)
        for i, ids in enumerate(sorted(rows, key=len)):
            assert_close(logits[i], torch_logits(ids)[-1])


def test_a_range_of_slots_leaves_the_others_alone(session: SlotSession, torch_logits: Reference) -> None:
    first, second, third = (tokens(10, seed) for seed in range(3))
    session.reserve(3, 64)
    read(session, first, slot=0)
    read(session, third, slot=2)
    before = {name: state._host.copy() for name, state in session._states.items()}  # type: ignore[union-attr]
    assert_close(read(session, second, slot=1), torch_logits(second))
    for name, state in session._states.items():
        assert state._host is not None
        np.testing.assert_array_equal(state._host[[0, 2]], before[name][[0, 2]])
        assert (state._host[1] != before[name][1]).any()
    # All three go on in one run.
    logits = session.run(np.array([[7], [8], [9]]), np.full(3, 10), np.zeros((3, 1), np.int64))
    for i, (row, token) in enumerate(((first, 7), (second, 8), (third, 9))):
        assert_close(logits[i], torch_logits([*row, token])[-1:])


def test_growing_keeps_the_state(session: SlotSession, torch_logits: Reference) -> None:
    ids = tokens(150)
    read(session, ids[:100])
    assert (session.slots, session.length) == (1, 128)
    session.reserve(4, 150)
    assert (session.slots, session.length) == (4, 192)
    assert_close(read(session, ids[100:], start=100), torch_logits(ids)[100:])
    read(session, ids[:5], slot=3)
    session.reserve(2, 10)  # never shrinks
    assert (session.slots, session.length) == (4, 192)
    assert_close(read(session, [11], start=150), torch_logits([*ids, 11])[-1:])


def test_released_memory_is_given_back(session: SlotSession, torch_logits: Reference) -> None:
    read(session, tokens(50))
    session.release()
    assert (session.slots, session.length) == (0, 0)
    assert all(state._host is None for state in session._states.values())
    with pytest.raises(ValueError, match="reserved"):
        session.run(np.zeros((1, 1), np.int64), np.zeros(1, np.int64), np.zeros((1, 1), np.int64))
    ids = tokens(20, 9)
    assert_close(read(session, ids), torch_logits(ids))


def test_a_copied_slot_goes_on_like_its_source(session: SlotSession, torch_logits: Reference) -> None:
    ids = tokens(20)
    session.reserve(3, 40)
    read(session, tokens(30, 5), slot=2)  # what is overwritten must not shine through
    read(session, ids, slot=0)
    for target in (1, 2):
        session.copy_slot(0, target, 20)
    for slot, token in ((0, 3), (1, 4), (2, 5)):
        assert_close(read(session, [token], slot=slot, start=20), torch_logits([*ids, token])[-1:])


def test_a_copy_takes_only_the_length_asked_for(session: SlotSession, torch_logits: Reference) -> None:
    ids, other = tokens(20), tokens(20, 5)
    session.reserve(2, 40)
    read(session, ids, slot=0)
    read(session, other, slot=1)
    session.copy_slot(0, 1, 8)
    assert_close(read(session, other[8:], slot=1, start=8), torch_logits(ids[:8] + other[8:])[8:])
    for state in session._states.values():
        assert state._host is not None
        assert (state._host[0, 8:20] != state._host[1, 8:20]).any()
        np.testing.assert_array_equal(state._host[0, :8], state._host[1, :8])


def test_a_row_is_rolled_back_by_writing_over_it(session: SlotSession, torch_logits: Reference) -> None:
    ids = tokens(30)
    read(session, ids)
    assert_close(read(session, [1, 2, 3], start=10), torch_logits([*ids[:10], 1, 2, 3])[10:])
    assert_close(read(session, ids[10:], start=10), torch_logits(ids)[10:])


def test_what_lies_behind_a_rows_end_is_never_seen(session: SlotSession, torch_logits: Reference) -> None:
    session.reserve(1, 64)
    for state in session._states.values():
        assert state._host is not None
        state._host[:] = 1e4
    ids = tokens(20)
    assert_close(read(session, ids), torch_logits(ids))


def test_the_state_is_updated_where_it_is(session: SlotSession) -> None:
    session.reserve(3, 64)
    memory = {name: state._host for name, state in session._states.items()}
    assert sorted(memory) == ["cache.0.key", "cache.0.value", "cache.1.key", "cache.1.value"]
    for at in range(3):
        session.run(np.full((2, 1), 5), np.full(2, at), np.zeros((2, 1), np.int64), first=1)
    outputs = session._binding(1, 2, 3).get_outputs()
    for (name, state), output in zip(session._states.items(), outputs):
        array = memory[name]
        assert array is not None and state._host is array
        assert output.data_ptr() == array[1:].ctypes.data
        assert array.shape == (3, 64, 2 * 16)
        written = (array != 0).any(axis=2)  # (slots, positions)
        assert written[1:, :3].all() and not written[1:, 3:].any() and not written[0].any()


def test_unreserved_slots_or_positions_are_refused(session: SlotSession) -> None:
    session.reserve(2, 128)
    one = np.zeros((1, 1), np.int64)
    session.run(one, np.array([127]), one, first=1)
    for first, at in ((2, 0), (0, 128), (1, 1000)):
        with pytest.raises(ValueError, match="not reserved"):
            session.run(one, np.array([at]), one, first=first)
    with pytest.raises(ValueError, match="not reserved"):
        session.run(np.zeros((1, 2), np.int64), np.array([127]), one)
    for first, at in ((0, -1), (-1, 0)):  # would write in front of the memory
        with pytest.raises(ValueError, match="not reserved"):
            session.run(one, np.array([at]), one, first=first)


def test_int8_is_close_to_fp32(session: SlotSession, tiny_bundle_int8: Path) -> None:
    ids = tokens(100)
    expected = read(session, ids)
    got = read(SlotSession(tiny_bundle_int8 / "onnx" / "slots.onnx", Device("cpu"), threads=1), ids)
    error = np.sqrt(((got - expected) ** 2).mean()) / expected.std()
    assert 0 < error < 0.15


@pytest.mark.parametrize("content", [b"", b"not a graph", None])
def test_a_graph_that_cannot_be_loaded(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "g.onnx").write_bytes(content)
    with pytest.raises(BundleCorruptError, match=r"can't load .*g\.onnx"):
        SlotSession(tmp_path / "g.onnx", Device("cpu"))
