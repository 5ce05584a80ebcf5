"""A connection to a PLC, the station as client: one way for every protocol.

A protocol is a `Session` with a file of its own. What all have in common is here: the limit of
every call, the last message behind a failure, and the errors.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, Protocol, TypeVar

from edge.peers.loop_thread import LoopThread
from inspection.errors import LineError

Place_contra = TypeVar("Place_contra", contravariant=True)
"""The address of a word: a register, a byte of a data block, a tag."""

SessionT = TypeVar("SessionT", bound="Session[Any]")
Answer = TypeVar("Answer")
Work = Callable[[SessionT], Coroutine[Any, Any, Answer]]
LastWords = tuple[Any, Sequence[int]]  # a place, and what is written there

_log = logging.getLogger(__name__)


class PlcError(Exception):
    """The PLC refuses a request, or its answer does not fit."""


class Session(Protocol[Place_contra]):
    """One connection, used once. Its coroutines run on one loop.

    They raise OSError when the PLC is lost, and PlcError. A word is 0 to 65535. A request leaves
    when the one before it has its answer, also where the caller gave that one up; see
    `edge.peers.exchanges`.
    """

    async def connect(self) -> None:
        """Connects; the first call."""

    async def read(self, place: Place_contra, count: int = 1) -> Sequence[int]:
        """Returns consecutive words."""

    async def write(self, place: Place_contra, words: Sequence[int]) -> None:
        """Writes consecutive words by one request, and waits for the answer."""

    async def post(self, place: Place_contra, words: Sequence[int]) -> None:
        """Writes at once, behind a request without an answer; only `close` may follow.

        Nothing is written on a lost connection.
        """

    async def close(self) -> None:
        """Disconnects. Safe after a failure of every other call, and in the middle of one.

        It does not wait for the answers that the PLC owes; they find a reader all the same.
        """


class PlcConnection(Generic[SessionT]):
    """A session and the thread that it runs on. One thread calls it.

    Args:
        name: names the use of the connection in messages.
        make_session: returns a session, not yet connected.
        timeout_ms: limit of every call.
    """

    def __init__(self, name: str, make_session: Callable[[], SessionT], timeout_ms: float) -> None:
        self.timeout_ms = timeout_ms
        self._name = name
        self._make_session = make_session
        self._loop: LoopThread | None = None
        self._session: SessionT | None = None

    @property
    def is_open(self) -> bool:
        """True from `open` to `disconnect`, also after a failed call."""
        return self._session is not None

    def open(self, work: Work[SessionT, None] | None = None) -> None:
        """Connects, and runs `work` within the same limit.

        Raises:
            OSError, PlcError: the PLC does not answer in time, or refuses.
        """
        if self._loop is None:
            self._loop = LoopThread(self._name)
        session = self._session = self._make_session()

        async def begin() -> None:
            await session.connect()
            if work is not None:
                await work(session)

        self._loop.run(begin(), self.timeout_ms / 1e3)

    def call(self, work: Work[SessionT, Answer]) -> Answer:
        """Runs `work` with the session; the limit holds for all of it.

        Raises:
            OSError, PlcError: the PLC does not answer in time, or refuses.
        """
        if self._session is None or self._loop is None:
            raise ConnectionError("the connection is not open")
        return self._loop.run(work(self._session), self.timeout_ms / 1e3)

    def disconnect(self, last: LastWords | None = None) -> None:
        """Disconnects. Safe to call twice, and without `open`.

        Args:
            last: written before. A PLC that does not answer has one more `timeout_ms` to take
                them; after that they are sent behind the request without an answer.
        """
        session, self._session = self._session, None
        if session is None or self._loop is None:
            return
        limit_s = self.timeout_ms / 1e3
        try:
            self._loop.run(_leave(session, last, limit_s), 2 * limit_s)
        except (OSError, PlcError) as error:
            _log.warning("%s: closed without the safe state: %s", self._name, error)

    def close(self) -> None:
        """Disconnects and ends the thread. Safe to call twice, and without `open`."""
        self.disconnect()
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()


class Plc(Generic[SessionT]):
    """A PLC that a trigger or a recipe request asks, one request after the other.

    One thread calls it. An error closes the connection, and `open` connects again.

    Args:
        name: names the use of the PLC in messages.
        check: the settings that may be wrong, for messages: "host and port".
    """

    def __init__(self, name: str, connection: PlcConnection[SessionT], check: str) -> None:
        self._name = name
        self._connection = connection
        self._check = check

    def open(self) -> None:
        """Connects, in place of an earlier connection.

        Raises:
            LineError: the PLC cannot be reached.
        """
        self.close()
        try:
            self._connection.open()
        except (OSError, PlcError) as error:
            self.close()
            raise LineError(
                f"{self._name}: no connection; check the PLC, {self._check}: {error}"
            ) from error

    def ask(self, where: object, work: Work[SessionT, Answer]) -> Answer:
        """Runs `work` with the session.

        Args:
            where: the address that is asked for, for messages.

        Raises:
            LineError: the PLC does not answer, or refuses; the message says what to check.
        """
        if not self._connection.is_open:
            raise LineError(f"{self._name}: the connection is not open")
        try:
            return self._connection.call(work)
        except (OSError, PlcError) as error:
            self.close()
            raise LineError(
                f"{self._name}: {where}: {error}; check that the PLC runs, {self._check}"
            ) from error

    def close(self) -> None:
        """Disconnects. Safe to call twice, and without `open`."""
        self._connection.close()


async def _leave(session: Session[Any], last: LastWords | None, limit_s: float) -> None:
    try:
        if last is not None:
            await _write_last(session, *last, limit_s)
    finally:  # also when the loop is stopped meanwhile
        await session.close()


async def _write_last(
    session: Session[Any], place: Any, words: Sequence[int], limit_s: float
) -> None:
    try:
        await asyncio.wait_for(session.write(place, words), limit_s)
    except asyncio.TimeoutError:  # an alias of TimeoutError, an OSError, since Python 3.11
        await session.post(place, words)
    except (OSError, PlcError) as error:
        _log.debug("no last words: %s", error)  # lost or refused, as the owner says of the call
