"""Threads for requests: limits, cancelling, time, slow readers, and the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest

from nlpsuite.errors import RequestTimeoutError, ServerBusyError, ServerUnavailableError
from nlpsuite.serve.runner import Cancelled, Runner


def counting(n: int, pause: float = 0.0) -> Callable[[Cancelled], Generator[int, None, None]]:
    def work(cancelled: Cancelled) -> Generator[int, None, None]:
        for i in range(n):
            time.sleep(pause)
            yield i

    return work


def until(event: threading.Event) -> Callable[[Cancelled], Generator[int, None, None]]:
    def work(cancelled: Cancelled) -> Generator[int, None, None]:
        yield 0
        while not event.is_set() and not cancelled():
            time.sleep(0.005)
        yield 1

    return work


async def all_of(events: AsyncGenerator[Any, None]) -> list[Any]:
    return [event async for event in events]


def test_events_in_order() -> None:
    runner = Runner(2, 8, 10)
    assert asyncio.run(all_of(runner.stream(counting(100)))) == list(range(100))


def test_what_the_work_raises() -> None:
    def work(cancelled: Cancelled) -> Generator[int, None, None]:
        yield 1
        raise ZeroDivisionError

    runner = Runner(2, 8, 10)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(all_of(runner.stream(work)))
    assert asyncio.run(all_of(runner.stream(counting(1)))) == [0]


def test_too_many_are_refused_and_room_comes_back() -> None:
    async def scene() -> None:
        runner, go = Runner(1, 1, 10), threading.Event()
        running = runner.stream(until(go))
        assert await anext(running) == 0
        waiting = asyncio.ensure_future(all_of(runner.stream(counting(2))))
        await asyncio.sleep(0.05)
        assert (runner.running, runner.waiting) == (1, 1)
        with pytest.raises(ServerBusyError):
            await anext(runner.stream(counting(1)))
        go.set()
        assert await all_of(running) == [1]
        assert await waiting == [0, 1]
        assert await all_of(runner.stream(counting(1))) == [0]

    asyncio.run(scene())


def test_a_client_that_goes_away_frees_its_thread() -> None:
    async def scene() -> None:
        runner = Runner(1, 4, 10)
        events = runner.stream(until(threading.Event()))  # it would never end
        await anext(events)
        await events.aclose()
        assert await asyncio.wait_for(all_of(runner.stream(counting(1))), 5) == [0]

    asyncio.run(scene())


def test_time_is_limited_for_those_that_wait_too() -> None:
    async def scene() -> None:
        runner = Runner(1, 4, 0.2)
        first = asyncio.ensure_future(all_of(runner.stream(counting(1, 0.5))))  # it can't be interrupted
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(all_of(runner.stream(counting(1))))
        for each in (first, second):
            with pytest.raises(RequestTimeoutError):
                await asyncio.wait_for(each, 5)

    asyncio.run(scene())


def test_a_slow_reader_holds_up_nobody() -> None:
    async def scene() -> None:
        runner = Runner(1, 4, 10)
        slow = runner.stream(counting(1_000))
        assert await anext(slow) == 0  # and reads no further for now
        assert await asyncio.wait_for(all_of(runner.stream(counting(5))), 5) == [0, 1, 2, 3, 4]
        assert await all_of(slow) == list(range(1, 1_000))

    asyncio.run(scene())


def test_closing_finishes_what_runs() -> None:
    async def scene() -> None:
        runner = Runner(2, 4, 10)
        running = asyncio.ensure_future(all_of(runner.stream(counting(5, 0.02))))
        await asyncio.sleep(0.03)
        await runner.close(5)
        assert await running == [0, 1, 2, 3, 4]
        with pytest.raises(ServerUnavailableError, match="shutting down"):
            await anext(runner.stream(counting(1)))

    asyncio.run(scene())
