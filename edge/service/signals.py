"""Signals that end a command in order, or have it open its files anew."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopped_by_signals(
    stop: Callable[[], object] = lambda: None,
    *,
    on_hangup: Callable[[], object] | None = None,
) -> Iterator[list[int]]:
    """Calls `stop` at the first SIGINT or SIGTERM; a second signal ends the process at once.

    Yields the signals received so far. Only the main thread may enter it.

    Args:
        on_hangup: called at SIGHUP, which asks a service to open its files anew. The kernel sends
            the same signal when it takes away the terminal of the process, and that counts as a
            signal to stop. None, or a process that ignores SIGHUP as under nohup: it stays as is.
    """
    received: list[int] = []
    numbers = [*STOP_SIGNALS]
    if on_hangup is not None and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    has_lost_terminal = _terminal_watch()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if on_hangup is not None and number == signal.SIGHUP and not has_lost_terminal():
            on_hangup()
            return
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


@contextlib.contextmanager
def surviving_hangups() -> Iterator[None]:
    """Lets SIGHUP pass within the block, where no file is open yet; a lost terminal still ends all.

    Only the main thread may enter it.
    """
    before = signal.getsignal(signal.SIGHUP)
    has_lost_terminal = _terminal_watch()

    def on_hangup(number: int, _frame: FrameType | None) -> None:
        if has_lost_terminal():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, on_hangup)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _terminal_watch() -> Callable[[], bool]:
    """Returns a function that tells whether the process has lost its controlling terminal since."""
    had_terminal = _has_terminal()
    return lambda: had_terminal and not _has_terminal()


def _has_terminal() -> bool:
    """Returns whether the process has a controlling terminal, see tty(4)."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
