"""The base of simulated machines: the verdicts that they take, and the signals that they show."""

from __future__ import annotations

import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from edge.line.handshake import Bits
from inspection.errors import LineError

LOOPBACK = "127.0.0.1"
KEPT = 2048  # entries of a machine that runs for days

T = TypeVar("T")


class History(list[T]):
    """The last entries: at least `KEPT`, and fewer than twice as many. Other threads may read it.

    Attributes:
        total: number of all entries.
    """

    total = 0

    def append(self, entry: T) -> None:
        """Adds an entry, and drops the oldest ones where there are too many."""
        self.total += 1
        super().append(entry)
        if len(self) >= 2 * KEPT:
            del self[:KEPT]


class Seen(NamedTuple):
    """A verdict that the machine took; None where the line does not say."""

    trigger_id: str | None
    is_pass: bool
    is_reject: bool
    sequence: int | None = None


class View(NamedTuple):
    """The signals of a machine at one moment, for people.

    Attributes:
        title: kind and address.
        bits: each signal by its name, in the order of the status word.
        words: numbers and texts by name.
    """

    title: str
    bits: Mapping[str, bool]
    words: Mapping[str, int | str]


class Machine(ABC):
    """A simulated machine. It notes the verdicts that it takes, and can hang.

    Attributes:
        seen: the last verdicts, each once, in the order of arrival.
        running: cleared while the machine hangs.
    """

    def __init__(self) -> None:
        self.seen: History[Seen] = History()
        self.running = threading.Event()
        self.running.set()
        self._known: dict[str | None, None] = {}  # in the order of arrival

    def take_once(self, seen: Seen) -> None:
        """Notes a verdict, unless it came before: a station repeats one without an answer."""
        if seen.trigger_id not in self._known:
            self._known[seen.trigger_id] = None
            if len(self._known) > KEPT:
                del self._known[next(iter(self._known))]
            self.seen.append(seen)

    @abstractmethod
    def view(self) -> View:
        """Returns the signals that the machine sees or gives at this moment; from any thread."""

    def hang(self) -> None:
        """Stops answering, and keeps the connections."""
        self.running.clear()

    def wake(self) -> None:
        """Answers again."""
        self.running.set()

    def close(self) -> None:
        """Disconnects and ends the threads."""
        self.wake()


def bits_by_name(bits: Bits) -> dict[str, bool]:
    """Returns all bits of a status word by their names."""
    return {str(bit.name): bit in bits for bit in Bits}


def last_verdict(seen: History[Seen]) -> dict[str, int | str]:
    """Returns the last verdict and the number of verdicts as words of a view."""
    if not seen:
        return {"verdicts": 0}
    last = seen[-1]
    verdict = "PASS" if last.is_pass else "REJECT" if last.is_reject else "NO_VERDICT"
    return {"verdicts": seen.total, "last": f"{verdict} {last.trigger_id or ''}".rstrip()}


def reached_at(host: str) -> str:
    """Returns the address by which this device reaches a machine that listens on `host`."""
    return LOOPBACK if host == "0.0.0.0" else host  # noqa: S104 - a comparison


def cannot_listen(machine: str, host: str, port: int, error: Exception) -> LineError:
    """Returns the error of a machine whose port cannot be opened."""
    return LineError(f"{machine} cannot listen on {host}:{port}: {error}; give another port")


def free_port() -> int:
    """Returns a TCP port of the loopback interface that no program uses now."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])
