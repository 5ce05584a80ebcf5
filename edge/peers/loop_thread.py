"""An asyncio loop on a thread, for libraries that only offer asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_STOP_S = 1.0


class LoopThread:
    """Runs coroutines for a caller that waits a limited time for them.

    Args:
        name: name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Returns the result of `work`; cancels it after the timeout.

        Raises:
            TimeoutError: `work` took longer than `timeout_s`, or raised a timeout itself.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        # Three classes until Python 3.11 made them one.
        except (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError) as error:
            future.cancel()
            raise TimeoutError(f"no answer within {timeout_s * 1e3:g} ms") from error

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Starts `work` without waiting for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        """Cancels running work and ends the thread; one that hangs ends with the process."""
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).add_done_callback(
            lambda _: self._loop.call_soon_threadsafe(self._loop.stop)
        )
        self._thread.join(_STOP_S)
        if not self._thread.is_alive():
            self._loop.close()


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
