"""Modbus TCP, the station as client: it writes each verdict to a PLC.

One block of 15 registers, written by one request so that the PLC never sees half of it:

    0      status word: `edge.line.handshake.Bits`
    1      sequence number of the verdict, 1 to 65535; 0 before the first
    2      cause of NO_VERDICT: 0 none, else the place in `CAUSES` counted from 1
    3-14   trigger id, 24 characters of ASCII, two per register, high byte first, filled with 0

The acknowledge register holds the sequence number of the last verdict that the PLC took.
Source of the function codes: MODBUS Application Protocol V1.1b3.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from pymodbus import ModbusException
from pymodbus.client import AsyncModbusTcpClient

from edge.line.base import StationState
from edge.line.handshake import Handshake, Signals
from edge.line.outputs_config import ModbusConfig
from edge.part.record import InspectionRecord
from edge.peers.loop_thread import LoopThread
from edge.peers.modbus import answered
from inspection.errors import LineError
from inspection.verdict import Cause

CAUSES = tuple(Cause)
BLOCK_REGISTERS = 15

_TEXT_BYTES = 24
_ACKNOWLEDGE_POLL_S = 0.002

_log = logging.getLogger(__name__)


def registers_from_signals(signals: Signals) -> list[int]:
    """The block of registers, each 0 to 65535."""
    cause = CAUSES.index(signals.cause) + 1 if signals.cause is not None else 0
    text = signals.trigger_id.encode("ascii", "replace")[-_TEXT_BYTES:].ljust(_TEXT_BYTES, b"\0")
    words = [int.from_bytes(text[at : at + 2], "big") for at in range(0, _TEXT_BYTES, 2)]
    return [int(signals.bits), signals.sequence, cause, *words]


class ModbusClient:
    """Writes the verdicts to holding registers of a PLC (function code 16).

    A PLC that does not answer in time gets the safe state behind the verdict, and the connection
    is closed. One that wakes later executes both, in this order; the sequence number tells that
    the verdict is an old one.
    """

    def __init__(self, config: ModbusConfig) -> None:
        self._name = f"modbus {config.host}:{config.port}"
        self._config = config
        self._awaited = ""
        self._handshake = Handshake(
            acknowledged=config.acknowledge_register is not None, hold_ms=config.hold_ms
        )
        self._loop: LoopThread | None = None
        self._client: AsyncModbusTcpClient | None = None

    def open(self) -> None:
        """Connect and continue the PLC's sequence number; see `LineOutput.open`."""
        self.close()
        self._loop = LoopThread(self._name)
        atexit.register(self.close)
        self._call(
            self._connect,
            "cannot be opened; check the PLC, host, port, device_id and register_address",
        )

    def send(self, record: InspectionRecord) -> None:
        """Write one verdict and wait for its acknowledge; see `LineOutput.send`."""
        signals = self._handshake.result(record)
        self._require_connection()
        self._call(
            partial(self._tell, signals),
            f"did not take the verdict of {record.trigger_id}; check that the PLC runs",
        )

    def show(self, state: StationState) -> None:
        """Write the station's state; see `LineOutput.show`."""
        self._require_connection()
        self._call(
            lambda: self._write(self._handshake.show(state)),
            f"was not told that the station is {state.value}; check that the PLC runs",
        )

    def close(self) -> None:
        """Write the safe state and disconnect; see `LineOutput.close`."""
        if self._loop is None:
            return
        atexit.unregister(self.close)
        if self._client is not None:
            try:
                self._call(
                    lambda: self._write(self._handshake.safe(fault=False)),
                    "did not take the safe state at the end",
                )
            except LineError as error:
                _log.warning("%s", error)
        self._disconnect(say_fault=False)
        self._loop.stop()
        self._loop = None

    def _require_connection(self) -> None:
        if self._client is None:
            self._handshake.safe(fault=True)
            raise LineError(f"{self._name}: the output is not open")

    def _call(self, work: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
        if self._loop is None:
            raise LineError(f"{self._name}: the output is not open")
        try:
            self._loop.run(work(), self._config.timeout_ms / 1e3)
        except TimeoutError as error:
            self._disconnect(say_fault=True)
            why = f"no {self._awaited} within {self._config.timeout_ms:g} ms"
            raise LineError(f"{self._name}: {what}: {why}") from error
        except (OSError, ModbusException) as error:
            self._disconnect(say_fault=True)
            raise LineError(f"{self._name}: {what}: {error}") from error

    def _disconnect(self, *, say_fault: bool) -> None:
        client, self._client = self._client, None
        if client is None or self._loop is None:
            return
        try:
            self._loop.run(self._leave(client, say_fault=say_fault), self._config.timeout_ms / 1e3)
        except (OSError, ModbusException) as error:
            _log.warning("%s: closed without the safe state: %s", self._name, error)

    async def _connect(self) -> None:
        self._awaited = "connection"
        self._client = AsyncModbusTcpClient(
            self._config.host,
            port=self._config.port,
            timeout=self._config.timeout_ms / 1e3,
            retries=0,
            reconnect_delay=0,  # a part is never told late; `open` connects again
        )
        if not await self._client.connect():
            raise ConnectionError("no connection")
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
        client = self._connected()
        registers = registers_from_signals(signals)
        response = await client.write_registers(
            self._config.register_address, registers, device_id=self._config.device_id
        )
        answered(response)

    async def _read(self, register: int) -> int:
        client = self._connected()
        response = await client.read_holding_registers(register, device_id=self._config.device_id)
        return answered(response, count=1).registers[0]

    def _connected(self) -> AsyncModbusTcpClient:
        if self._client is None or not self._client.connected:
            raise ConnectionError("the connection is lost")  # pymodbus would connect in silence
        return self._client

    async def _leave(self, client: AsyncModbusTcpClient, *, say_fault: bool) -> None:
        if say_fault and client.connected:
            registers = registers_from_signals(self._handshake.safe(fault=True))
            await client.write_registers(
                self._config.register_address,
                registers,
                device_id=self._config.device_id,
                no_response_expected=True,
            )
        client.close()
