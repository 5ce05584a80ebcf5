"""Modbus TCP, the station as client: it writes each verdict to a PLC.

One block of 15 registers, written by one request so that the PLC never sees half of it:

    0      status word: `edge.line.handshake.Bits`
    1      sequence number of the verdict, 1 to 65535; 0 before the first
    2      cause of NO_VERDICT: 0 none, otherwise the position in `CAUSES`, from 1
    3-14   trigger id, 24 characters of ASCII, two per register, high byte first, filled with 0

The acknowledge register holds the sequence number of the last verdict that the PLC took.
Source of the function codes: MODBUS Application Protocol V1.1b3.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from edge.line.base import StationState
from edge.line.handshake import Handshake, Signals
from edge.part.record import InspectionRecord
from edge.peers.addresses import Milliseconds, ModbusPeer, Register
from edge.peers.loop_thread import LoopStoppedError
from edge.peers.modbus import ModbusConnection, Registers
from inspection.config.claims import Claim
from inspection.config.plugins import Sdk, require
from inspection.errors import LineError
from inspection.verdict import Cause

if TYPE_CHECKING:
    import pymodbus
else:
    pymodbus = Sdk("pymodbus")

CAUSES = tuple(Cause)
BLOCK_REGISTERS = 15

_INSTALL = "pip install 'linewarden[modbus]'"
_TEXT_BYTES = 24
_ACKNOWLEDGE_POLL_S = 0.002

_log = logging.getLogger(__name__)


class ModbusOutputConfig(ModbusPeer):
    """The registers that both ends of Modbus have in common.

    Attributes:
        register_address: where the block of 15 registers begins, counted from 0.
        acknowledge_register: holding register with the number of the last verdict that the PLC
            took; None: the PLC acknowledges nothing, and takes a verdict of the server by reading
            its status word and number.
        hold_ms: least time that a verdict is shown where the PLC acknowledges nothing.
    """

    register_address: Register = 0
    acknowledge_register: Register | None = None
    hold_ms: Milliseconds = 200.0


class ModbusConfig(ModbusOutputConfig):
    """Writes to a PLC; see `edge.line.modbus`."""

    kind: Literal["modbus"]

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the block and to the acknowledge register."""
        yield from self.registers("register_address", "holding register", BLOCK_REGISTERS)
        yield from self.registers("acknowledge_register", "holding register")

    def driver(self) -> ModbusClient:
        """Returns the output, not yet opened; raises LineError without the package."""
        require("output 'modbus'", "pymodbus", _INSTALL, LineError)
        return ModbusClient(self)


def registers_from_signals(signals: Signals) -> list[int]:
    """Returns the block of registers, each 0 to 65535."""
    cause = CAUSES.index(signals.cause) + 1 if signals.cause is not None else 0
    text = signals.trigger_id.encode("ascii", "replace")[-_TEXT_BYTES:].ljust(_TEXT_BYTES, b"\0")
    words = [int.from_bytes(text[at : at + 2], "big") for at in range(0, _TEXT_BYTES, 2)]
    return [int(signals.bits), signals.sequence, cause, *words]


class ModbusClient:
    """Writes the verdicts to holding registers of a PLC (function code 16).

    When the PLC does not answer in time, the client sends the safe state behind the verdict and
    closes the connection. A PLC that wakes later executes both, in this order; the sequence number
    marks the verdict as an old one.
    """

    def __init__(self, config: ModbusConfig) -> None:
        self._name = f"modbus {config.host}:{config.port}"
        self._config = config
        self._awaited = ""
        self._handshake = Handshake(
            acknowledged=config.acknowledge_register is not None, hold_ms=config.hold_ms
        )
        self._connection = ModbusConnection(self._name, config)

    def open(self) -> None:
        """Connects and continues the PLC's sequence number."""
        self.close()
        atexit.register(self.close)
        self._call(
            self._connect,
            "cannot be opened; check the PLC, host, port, device_id and register_address",
        )

    def send(self, record: InspectionRecord) -> None:
        """Writes one verdict and waits for its acknowledge."""
        signals = self._handshake.result(record)
        self._require_connection()
        self._call(
            partial(self._tell, signals),
            f"did not take the verdict of {record.trigger_id}; check that the PLC runs",
        )

    def show(self, state: StationState) -> None:
        """Writes the station's state."""
        self._require_connection()
        self._call(
            lambda: self._write(self._handshake.show(state)),
            f"was not told that the station is {state.value}; check that the PLC runs",
        )

    def close(self) -> None:
        """Writes the safe state and disconnects."""
        atexit.unregister(self.close)
        if self._connection.is_open:
            try:
                self._call(
                    lambda: self._write(self._handshake.safe(fault=False)),
                    "did not take the safe state at the end",
                )
            except LineError as error:
                _log.warning("%s", error)
        self._connection.close()

    def _require_connection(self) -> None:
        if not self._connection.is_open:
            self._handshake.safe(fault=True)
            raise LineError(f"{self._name}: the output is not open")

    def _call(self, work: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
        try:
            self._connection.call(work)
        except TimeoutError as error:
            self._give_up()
            why = f"no {self._awaited} within {self._config.timeout_ms:g} ms"
            raise LineError(f"{self._name}: {what}: {why}") from error
        except LoopStoppedError as error:
            raise LineError(f"{self._name}: {error}") from error
        except (OSError, pymodbus.ModbusException) as error:
            self._give_up()
            raise LineError(f"{self._name}: {what}: {error}") from error

    def _give_up(self) -> None:
        """Disconnects behind the safe state with FAULT."""
        address = self._config.register_address

        def safe() -> Registers:
            return Registers(address, registers_from_signals(self._handshake.safe(fault=True)))

        self._connection.disconnect(safe)

    async def _connect(self) -> None:
        self._awaited = "connection"
        await self._connection.connect()
        self._awaited = "answer"
        self._handshake.continue_from(await self._read(self._config.register_address + 1))
        await self._write(self._handshake.safe(fault=False))

    async def _tell(self, signals: Signals) -> None:
        await self._write(signals)
        if self._config.acknowledge_register is None:
            return
        while not self._handshake.takes(await self._read(self._config.acknowledge_register)):
            self._awaited = (
                f"acknowledge of sequence number {signals.sequence} "
                f"in register {self._config.acknowledge_register}"
            )
            await asyncio.sleep(_ACKNOWLEDGE_POLL_S)
        await self._write(self._handshake.signals)

    async def _write(self, signals: Signals) -> None:
        self._awaited = "answer"
        block = registers_from_signals(signals)
        await self._connection.write(self._config.register_address, block)

    async def _read(self, register: int) -> int:
        return (await self._connection.read(register))[0]
