"""A line under systemd: told when it works, restarted when it does not.

The watchdog is petted by the inspection loop itself, and only while no other stage hangs: a
process that lives and does not inspect is ended by systemd and started again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from edge.pipeline.status import PipelineStatus
from edge.service.notify import Notifier

# Time for one step of the start, from the moment it begins: a large plan on a slow disk.
LOAD_LIMIT_S = 300.0

_STATUS_S = 1.0


class Daemon:
    """What systemd knows of a line: loading, ready, alive, stopping.

    Args:
        notifier: closed by the caller.
        watchdog_s: how often systemd wants a sign of life (WATCHDOG_USEC); 0 for never.
        clock: monotonic clock in seconds.
    """

    def __init__(
        self,
        notifier: Notifier,
        watchdog_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notifier = notifier
        self._clock = clock
        # sd_watchdog_enabled(3) asks for half of the time; a third leaves room for a lost one.
        self._period_s = min(_STATUS_S, watchdog_s / 3) if watchdog_s else _STATUS_S
        self._is_told = False
        self._told_at = -self._period_s

    def loading(self) -> None:
        """The bundle is being verified and the engine loaded."""
        self._notifier.loading("verifying the bundle and loading the engine", LOAD_LIMIT_S)

    def turn(self, status: PipelineStatus) -> None:
        """The inspection loop went round, or ended; call it from there alone."""
        if not status.is_running:
            self.stopping()  # from now on TimeoutStopSec= counts, no watchdog
            return
        now = self._clock()
        if now - self._told_at < self._period_s:
            return
        self._told_at = now
        if not self._is_told:
            self._is_told = self._notifier.send(READY=1)
        alive = {} if status.stalled else {"WATCHDOG": 1}
        self._notifier.send(STATUS=describe(status), **alive)

    def stopping(self) -> None:
        """The orderly stop began; from any thread or signal handler."""
        self._notifier.send(STOPPING=1, STATUS="stopping")


def watchdog_s_from_environment() -> float:
    """The time that systemd's watchdog allows this process; 0 where it has none."""
    is_ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 if is_ours else 0.0


def describe(status: PipelineStatus) -> str:
    """A pipeline's status for people, in one line."""
    what = f"not inspecting ({'; '.join(status.faults)})" if status.faults else "inspecting"
    text = f"{what}: {status.parts} parts, {status.no_verdicts} without a verdict"
    if down := status.outputs_up.count(False):
        text += f"; outputs down: {down} of {len(status.outputs_up)}"
    return text
