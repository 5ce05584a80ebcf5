"""Reports to systemd: loading, ready, alive, stopping.

The inspection loop itself feeds the watchdog, and only while no other stage hangs. systemd ends a
process that no longer inspects and starts it again.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from edge.pipeline.status import PipelineStatus

LOAD_LIMIT_S = 300.0  # of one step of the start: a large plan on a slow disk
_STATUS_S = 1.0


class Notifier:
    """Sends messages to the service manager as sd_notify(3), and none where it has no address.

    It never waits: a service that waited for a busy systemd would stop inspecting.

    Args:
        address: path of the socket; a leading "@" means the abstract namespace.
    """

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_UNIX, kind) if address else None

    @classmethod
    def from_environment(cls) -> Notifier:
        """Makes the notifier of NOTIFY_SOCKET."""
        return cls(os.environ.get("NOTIFY_SOCKET", ""))

    def send(self, **variables: object) -> bool:
        """Sends assignments such as READY=1 in one datagram; False when it is dropped."""
        if self._socket is None:
            return True
        lines = "\n".join(f"{name}={value}" for name, value in variables.items())
        try:
            self._socket.sendto(lines.encode(), self._address)
        except OSError:  # the socket is full, or systemd restarts
            return False
        return True

    def close(self) -> None:
        """Releases the socket."""
        if self._socket is not None:
            self._socket.close()


class Daemon:
    """Reports the state of a line to systemd.

    Args:
        notifier: the caller closes it.
        watchdog_s: time limit of the watchdog (WATCHDOG_USEC); 0 without one.
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
        # sd_watchdog_enabled(3) asks for half of the time; a third allows for a lost message.
        self._period_s = min(_STATUS_S, watchdog_s / 3) if watchdog_s else _STATUS_S
        self._is_ready_sent = False
        self._reported_at = -self._period_s

    def loading(self) -> None:
        """Reports that the line verifies the bundle and loads the engine."""
        self._notifier.send(
            STATUS="verifying the bundle and loading the engine",
            EXTEND_TIMEOUT_USEC=round(LOAD_LIMIT_S * 1e6),
        )

    def report(self, status: PipelineStatus) -> None:
        """Reports a turn of the inspection loop, or its end; only the loop calls this."""
        if not status.is_running:
            self.stopping()  # from now on TimeoutStopSec= counts, not the watchdog
            return
        now = self._clock()
        if now - self._reported_at < self._period_s:
            return
        self._reported_at = now
        if not self._is_ready_sent:
            self._is_ready_sent = self._notifier.send(READY=1)
        alive = {} if status.stalled else {"WATCHDOG": 1}
        self._notifier.send(STATUS=status_line(status), **alive)

    def stopping(self) -> None:
        """Reports the start of the orderly stop; from any thread or signal handler."""
        self._notifier.send(STOPPING=1, STATUS="stopping")


def watchdog_s_from_environment() -> float:
    """Returns the time limit of systemd's watchdog for this process; 0 without one."""
    is_ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 if is_ours else 0.0


def status_line(status: PipelineStatus) -> str:
    """Returns a pipeline's status as the line that `systemctl status` shows."""
    what = f"not inspecting ({'; '.join(status.faults)})" if status.faults else "inspecting"
    text = f"{what}: {status.parts} parts, {status.no_verdicts} without a verdict"
    down = [f"{name}: {output.why}" for name, output in status.outputs.items() if not output.is_up]
    if down:
        text += f"; outputs down: {len(down)} of {len(status.outputs)} ({'; '.join(down)})"
    return text
