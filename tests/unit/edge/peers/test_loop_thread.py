"""Coroutines on a thread: timeouts, a stop from elsewhere, and errors that nobody waits for."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator

import pytest

from edge.peers.loop_thread import LoopStoppedError, LoopThread
from tests.doubles.waiting import wait_for

GENEROUS_S = 30.0
NAME = "the output"


@pytest.fixture
def loop(caplog: pytest.LogCaptureFixture) -> Iterator[LoopThread]:
    caplog.set_level(logging.WARNING)
    loop = LoopThread(NAME)
    yield loop
    loop.stop()
    gc.collect()
    assert "never retrieved" not in caplog.text


async def fail() -> None:
    raise ValueError("broken")


async def answer_a_cancel_by_an_error() -> None:
    """Fails as pymodbus does when a caller cancels its request."""
    try:
        await asyncio.sleep(GENEROUS_S)
    except asyncio.CancelledError as error:
        raise ValueError("the request was cancelled") from error


def test_a_result_and_an_error_reach_the_caller(loop: LoopThread) -> None:
    assert loop.run(asyncio.sleep(0, "done"), GENEROUS_S) == "done"
    with pytest.raises(ValueError, match="broken"):
        loop.run(fail(), GENEROUS_S)


def test_a_timeout_cancels_the_work(loop: LoopThread) -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(GENEROUS_S)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError, match="no answer within 50 ms"):
        loop.run(wait(), 0.05)
    assert cancelled.wait(GENEROUS_S)


def test_an_error_after_the_timeout_is_seen(
    loop: LoopThread, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "edge.peers.loop_thread")
    with pytest.raises(TimeoutError):
        loop.run(answer_a_cancel_by_an_error(), 0.05)
    wait_for(lambda: "the output: ValueError('the request was cancelled')" in caplog.text)
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


def test_a_stop_meanwhile_is_a_lost_connection(loop: LoopThread) -> None:
    stop = threading.Timer(0.05, loop.stop)
    stop.start()
    with pytest.raises(LoopStoppedError, match="the station closes the connection"):
        loop.run(asyncio.sleep(GENEROUS_S), GENEROUS_S)
    stop.join()


def test_no_work_begins_after_a_stop(loop: LoopThread, caplog: pytest.LogCaptureFixture) -> None:
    loop.stop()
    with pytest.raises(LoopStoppedError, match="the station closes the connection"):
        loop.run(asyncio.sleep(0), GENEROUS_S)
    loop.start(fail())
    loop.stop()
    assert not caplog.records


def test_an_error_in_the_background_is_logged_once(
    loop: LoopThread, caplog: pytest.LogCaptureFixture
) -> None:
    loop.start(fail())
    wait_for(lambda: caplog.records)
    loop.run(asyncio.sleep(0), GENEROUS_S)
    assert [record.getMessage() for record in caplog.records] == [
        "the output: ValueError('broken')"
    ]


def test_work_in_the_background_outlives_the_garbage_collector(loop: LoopThread) -> None:
    done = threading.Event()

    async def wait_for_a_future_that_nobody_holds() -> None:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.1, future.set_result, None)
        await future
        done.set()

    loop.start(wait_for_a_future_that_nobody_holds())
    gc.collect()
    assert done.wait(GENEROUS_S)


def test_an_error_in_a_task_of_a_library_is_logged_with_the_name(
    loop: LoopThread, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave_a_task() -> None:
        asyncio.get_running_loop().call_soon(fail_at_once)

    def fail_at_once() -> None:
        raise ValueError("broken")

    loop.run(leave_a_task(), GENEROUS_S)
    wait_for(lambda: caplog.records)
    (record,) = caplog.records
    assert record.name == "edge.peers.loop_thread"
    assert record.getMessage().startswith("the output: Exception in callback")
    assert record.getMessage().endswith("ValueError('broken')")
