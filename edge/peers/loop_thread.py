"""An asyncio loop on a thread, for libraries that only offer asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_STOP_S = 1.0

_log = logging.getLogger(__name__)


class LoopStoppedError(ConnectionAbortedError):
    """The station itself ends the work; the peer is not the cause."""

    def __init__(self) -> None:
        super().__init__("the station closes the connection")


class LoopThread:
    """Runs coroutines for callers that wait a limited time for them. Safe for threads.

    Every error on the loop reaches somebody: `run` raises it, or the log has it with the name.

    Args:
        name: name of the thread, also for messages.
        loop: not yet running; None for a new one. This object closes it.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._name = name
        self._loop = asyncio.new_event_loop() if loop is None else loop
        self._loop.set_exception_handler(self._on_library_error)
        self._jobs: set[_Job[Any]] = set()  # the loop itself does not keep its tasks alive
        self._lock = threading.Lock()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Returns the result of `work`; cancels it after the timeout.

        Raises:
            TimeoutError: `work` took longer than `timeout_s`, or raised a timeout itself.
            LoopStoppedError: the loop was stopped before the end of `work`.
        """
        job = self._job(work, _log.debug)  # after the time limit, which the caller reports
        if not self._call_on_loop(job.begin):
            work.close()
            raise LoopStoppedError
        try:
            return job.outcome.result(timeout_s)
        # Three classes until Python 3.11 made them one.
        except (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError) as error:
            self._call_on_loop(job.give_up)
            raise TimeoutError(f"no answer within {timeout_s * 1e3:g} ms") from error

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Starts `work` without waiting for it, unless the loop is stopped; logs its error."""
        job = self._job(work, _log.error)
        job.is_awaited = False
        if not self._call_on_loop(job.begin):
            work.close()

    def stop(self) -> None:
        """Cancels running work and ends the thread; one that hangs ends with the process."""
        self._call_on_loop(self._end, is_last=True)
        self._thread.join(_STOP_S)

    def _serve(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def _job(self, work: Coroutine[Any, Any, T], report: Callable[..., None]) -> _Job[T]:
        return _Job(self._loop, work, self._jobs, lambda error: report("%s: %r", self._name, error))

    def _call_on_loop(self, call: Callable[[], object], *, is_last: bool = False) -> bool:
        """Calls on the loop, before the work is cancelled; returns False when it is too late."""
        with self._lock:
            if self._is_stopping:
                return False
            self._is_stopping = is_last
            self._loop.call_soon_threadsafe(call)
            return True

    def _end(self) -> None:
        ending = self._loop.create_task(_cancel_others())
        ending.add_done_callback(lambda _: self._loop.stop())

    def _on_library_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        _log.error("%s: %s: %r", self._name, context["message"], context.get("exception"))


class _Job(Generic[T]):
    """One coroutine on the loop. The methods run on the loop.

    Args:
        jobs: holds this one while it runs.
        report: takes an error that no caller waits for.

    Attributes:
        outcome: what a caller waits for.
        is_awaited: a caller waits.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, T],
        jobs: set[_Job[Any]],
        report: Callable[[BaseException], None],
    ) -> None:
        self.outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._loop = loop
        self._work = work
        self._jobs = jobs
        self._report = report
        self.is_awaited = True
        self._task: asyncio.Task[T] | None = None

    def begin(self) -> None:
        self._jobs.add(self)
        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(self._note_end)

    def give_up(self) -> None:
        self.is_awaited = False
        if self._task is not None:
            self._task.cancel()

    def _note_end(self, task: asyncio.Task[T]) -> None:
        self._jobs.discard(self)
        error = LoopStoppedError() if task.cancelled() else task.exception()
        if error is None:
            self.outcome.set_result(task.result())
        elif self.is_awaited:
            self.outcome.set_exception(error)
        elif not task.cancelled():
            self._report(error)


async def _cancel_others() -> None:
    # Again and again: a task may start another at its end.
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
