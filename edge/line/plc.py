"""The station as client of a PLC: it writes each verdict, by any protocol of `edge.peers`."""

from __future__ import annotations

import asyncio
import atexit
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from edge.line.base import NotTakenError, StationState
from edge.line.block import BLOCK_WORDS, sequence_from_words, words_from_signals
from edge.line.handshake import Bits, Handshake, Signals
from edge.line.signals import NameOf, block_signals
from edge.line.taking import taken
from edge.part.record import InspectionRecord
from edge.part.signal import Seen, Signal, word_signal
from edge.peers.loop_thread import LoopStoppedError
from edge.peers.plc import PlcConnection, PlcError, Session
from inspection.errors import LineError

P = TypeVar("P")

_ACKNOWLEDGE_POLL_S = 0.002

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BlockPlaces(Generic[P]):
    """The places in the PLC.

    Attributes:
        block: of the first word of the block.
        acknowledge: of the number of the last verdict that the PLC took; None: it takes them in
            silence.
        acknowledge_name: names that place in messages.
        name_of: names the words and bits of the block.
    """

    block: P
    acknowledge: P | None
    acknowledge_name: str
    name_of: NameOf


class PlcOutput(Generic[P]):
    """Writes the verdicts to a PLC, each as one block by one request.

    When the PLC does not answer in time, the client sends the safe state behind the verdict and
    closes the connection. A PLC that wakes later executes both, in this order; the sequence number
    marks the verdict as an old one.

    A verdict that is still shown is taken back before the next one: a program of the PLC that reads
    in the middle of a write then never sees the bits of one with the number of the other.

    Args:
        check: the settings that may be wrong, for messages.
        hold_ms: least time that a verdict is shown where the PLC acknowledges nothing.
    """

    def __init__(
        self,
        name: str,
        connection: PlcConnection[Any],
        places: BlockPlaces[P],
        *,
        hold_ms: float,
        check: str,
    ) -> None:
        self._name = name
        self._check = check
        self._places = places
        self._awaited = ""
        self._has_begun = False
        self._closes_at_exit = False
        self._written: Seen | None = None
        self._acknowledged: Seen | None = None
        self._handshake = Handshake(acknowledged=places.acknowledge is not None, hold_ms=hold_ms)
        self._connection: PlcConnection[Session[P]] = connection

    def open(self) -> None:
        """Connects and continues the PLC's sequence number."""
        self._leave()  # and keeps the thread, on which an earlier connection may still end
        if not self._closes_at_exit:
            atexit.register(self.close)
            self._closes_at_exit = True
        self._awaited, self._has_begun = "connection", False
        self._try(
            lambda: self._connection.open(self._begin),
            f"cannot be opened; check the PLC, {self._check}",
        )

    def send(self, record: InspectionRecord) -> None:
        """Writes one verdict and waits for its acknowledge.

        Waits before for the rest of `hold_ms` of the verdict that nobody acknowledges.
        """
        time.sleep(self._handshake.held_s)
        before = self._handshake.take_back()
        signals = self._handshake.result(record)
        self._require_connection()
        self._call(
            partial(self._tell, before, signals),
            f"did not take the verdict of {record.trigger_id}; check that the PLC runs",
        )

    def show(self, state: StationState) -> None:
        """Writes the station's state."""
        self._require_connection()
        self._call(
            lambda session: self._write(session, self._handshake.show(state)),
            f"was not told that the station is {state.value}; check that the PLC runs",
        )

    def hold(self, bits: Bits) -> None:
        """Writes these bits and no verdict, for a test."""
        self._require_connection()
        self._call(
            lambda session: self._write(session, self._handshake.hold(bits)),
            "was not told a test signal; check that the PLC runs",
        )

    def signals(self) -> Sequence[Signal]:
        """Returns the block as it was last written, and the acknowledge as it was last read."""
        found = list(block_signals(self._written, self._places.name_of))
        if self._places.acknowledge is not None:
            address = self._places.acknowledge_name
            found.append(word_signal("acknowledge", address, self._acknowledged, is_input=True))
        return found

    def close(self) -> None:
        """Writes the safe state and disconnects."""
        atexit.unregister(self.close)
        self._closes_at_exit = False
        self._leave()
        self._connection.close()

    def _leave(self) -> None:
        """Writes the safe state and disconnects; keeps the thread of the connection."""
        if self._connection.is_open:
            try:
                self._call(
                    lambda session: self._write(session, self._handshake.safe(fault=False)),
                    "did not take the safe state at the end",
                )
            except LineError as error:
                _log.warning("%s", error)
        self._connection.disconnect()

    def _require_connection(self) -> None:
        if not self._connection.is_open:
            self._handshake.safe(fault=True)
            raise LineError(f"{self._name}: the output is not open")

    def _call(self, work: Callable[[Session[P]], Any], what: str) -> None:
        self._try(lambda: self._connection.call(work), what)

    def _try(self, call: Callable[[], None], what: str) -> None:
        try:
            call()
        except TimeoutError as error:
            self._give_up()
            why = f"no {self._awaited} within {self._connection.timeout_ms:g} ms"
            raise LineError(f"{self._name}: {what}: {why}") from error
        except LoopStoppedError as error:
            raise LineError(f"{self._name}: {error}") from error
        except (OSError, PlcError) as error:
            self._give_up()
            raise LineError(f"{self._name}: {what}: {error}") from error

    def _give_up(self) -> None:
        """Disconnects behind the safe state with FAULT.

        A connection on which nothing was written shows nothing: the number in the PLC, which is
        perhaps not read yet, stays as it is.
        """
        words = words_from_signals(self._handshake.safe(fault=True))
        self._connection.disconnect((self._places.block, words) if self._has_begun else None)

    async def _begin(self, session: Session[P]) -> None:
        self._awaited = "answer"
        words = await session.read(self._places.block, BLOCK_WORDS)
        acknowledged = 0
        if self._places.acknowledge is not None:  # a wrong place shows now, not with a part
            acknowledged = await self._read(session, self._places.acknowledge)
        self._handshake.continue_from(sequence_from_words(words), acknowledged)
        await self._write(session, self._handshake.safe(fault=False))

    async def _tell(self, before: Signals | None, signals: Signals, session: Session[P]) -> None:
        if before is not None:
            await self._write(session, before)
        await self._write(session, signals)
        self._handshake.begin_hold()
        if self._places.acknowledge is None:
            return
        acknowledge = self._acknowledge(signals.sequence, self._places.acknowledge, session)
        limit_s = self._connection.timeout_ms / 1e3
        is_taken = await taken(acknowledge, signals, limit_s)
        self._handshake.take_back()
        await self._write(session, self._handshake.signals)
        if not is_taken:
            raise NotTakenError(self._name, signals.trigger_id)

    async def _acknowledge(self, sequence: int, place: P, session: Session[P]) -> None:
        while not self._handshake.takes(await self._read(session, place)):
            self._awaited = (
                f"acknowledge of sequence number {sequence} in {self._places.acknowledge_name}"
            )
            await asyncio.sleep(_ACKNOWLEDGE_POLL_S)

    async def _write(self, session: Session[P], signals: Signals) -> None:
        self._awaited, self._has_begun = "answer", True
        words = words_from_signals(signals)
        await session.write(self._places.block, words)
        self._written = Seen(words, time.monotonic_ns())

    async def _read(self, session: Session[P], acknowledge: P) -> int:
        words = await session.read(acknowledge)
        self._acknowledged = Seen(words, time.monotonic_ns())
        return words[0]
