"""Signals that end a command in order."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopped_by_signals(
    stop: Callable[[], object] = lambda: None, *, also_hangup: bool = False
) -> Iterator[list[int]]:
    """Calls `stop` at the first SIGINT or SIGTERM; a second signal ends the process at once.

    Yields the signals received so far. Only the main thread may enter it.

    Args:
        also_hangup: whether SIGHUP (the terminal is closed) counts, unless the process ignores it
            as under nohup.
    """
    received: list[int] = []
    numbers = [*STOP_SIGNALS]
    if also_hangup and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        stop()

    for number in numbers:
        signal.signal(number, on_signal)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
