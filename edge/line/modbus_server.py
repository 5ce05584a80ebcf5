"""Modbus TCP, the station as server: a PLC polls it.

The block of `edge.line.modbus` in input registers (function code 4), and the acknowledge register
as a holding register (function codes 6 and 16). Modbus knows no passwords: keep the port within
the network of the machine.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge.errors import LineError
from edge.line.base import StationState
from edge.line.handshake import Handshake, Signals, fresh_sequence
from edge.line.loop_thread import LoopThread
from edge.line.modbus import BLOCK_REGISTERS, registers_from_signals
from edge.records import InspectionRecord

_READ_INPUT_REGISTERS = 4
_START_S = 5.0

_log = logging.getLogger(__name__)


class ModbusServer:
    """Holds the verdicts ready for a PLC.

    A verdict that the PLC does not fetch in time is taken back: the registers go to the safe state
    with FAULT, and the PLC may go on polling.

    Args:
        host: address to listen on; 0.0.0.0 for every network of the device.
        port: TCP port, 502 as a rule.
        device_id: unit identifier that is answered, 0 for any.
        register_address: of the block in the input registers, counted from 0.
        acknowledge_register: holding register in which the PLC writes the number it took; None:
            a verdict is delivered when the PLC has read its status word and number.
        hold_ms: how long a verdict stands at least where nothing is acknowledged.
        timeout_ms: limit of `send` and `show`.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        device_id: int,
        register_address: int,
        acknowledge_register: int | None,
        hold_ms: float,
        timeout_ms: float,
    ) -> None:
        self._name = f"modbus_server {host}:{port}"
        self._address = (host, port)
        self._device_id = device_id
        self._register = register_address
        self._acknowledge_register = acknowledge_register
        self._timeout_ms = timeout_ms
        self._handshake = Handshake(
            acknowledged=acknowledge_register is not None,
            hold_ms=hold_ms,
            sequence=fresh_sequence(),
        )
        self._loop: LoopThread | None = None
        self._server: ModbusTcpServer | None = None
        self._taken: asyncio.Event | None = None

    def open(self) -> None:
        """Listen, unless it does already; see `LineOutput.open`."""
        if self._server is not None:
            self._run(lambda: self._safe(fault=False), "hangs; restart the service")
            return
        self._loop = LoopThread(self._name)
        try:
            self._loop.run(self._listen(), _START_S)
        except (OSError, RuntimeError) as error:
            self.close()
            hint = "check that the address is one of this device and no other program uses the port"
            raise LineError(f"{self._name}: cannot listen: {error}; {hint}") from error
        atexit.register(self.close)

    def send(self, record: InspectionRecord) -> None:
        """Hold one verdict ready until the PLC has it; see `LineOutput.send`."""
        act = "acknowledge" if self._acknowledge_register is not None else "fetch"
        what = f"the PLC did not {act} the verdict of {record.trigger_id}; check that it polls"
        self._run(partial(self._tell, record), what)

    def show(self, state: StationState) -> None:
        """Hold the station's state ready; see `LineOutput.show`."""
        self._run(lambda: self._hold(self._handshake.show(state)), "hangs; restart the service")

    def close(self) -> None:
        """Go to the safe state and stop to listen; see `LineOutput.close`."""
        atexit.unregister(self.close)
        loop, self._loop = self._loop, None
        server, self._server = self._server, None
        if loop is None:
            return
        if server is not None:
            try:
                loop.run(self._leave(server), _START_S)
            except TimeoutError as error:
                _log.warning("%s: cannot be closed: %s", self._name, error)
        loop.stop()

    def _run(self, work: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
        if self._loop is None or self._server is None:
            raise LineError(f"{self._name}: the output is not open")
        try:
            self._loop.run(work(), self._timeout_ms / 1e3)
        except TimeoutError as error:
            self._loop.start(self._safe(fault=True))
            raise LineError(f"{self._name}: {what}: {error}") from error

    async def _listen(self) -> None:
        unused = [SimData(0, count=16, values=False, datatype=DataType.BITS)]
        block = SimData(self._register, count=BLOCK_REGISTERS, datatype=DataType.REGISTERS)
        acknowledge = SimData(self._acknowledge_register or 0, datatype=DataType.REGISTERS)
        device = SimDevice(
            self._device_id,
            simdata=(unused, list(unused), [acknowledge], [block]),
            action=self._on_access,
        )
        server = ModbusTcpServer(device, address=self._address)
        await server.serve_forever(background=True)
        self._server = server
        await self._safe(fault=False)

    async def _tell(self, record: InspectionRecord) -> None:
        self._taken = asyncio.Event()
        await self._hold(self._handshake.result(record))
        await self._taken.wait()
        await self._hold(self._handshake.signals)

    async def _safe(self, *, fault: bool) -> None:
        self._taken = None
        await self._hold(self._handshake.safe(fault=fault))

    async def _hold(self, signals: Signals) -> None:
        if self._server is not None:
            await self._server.async_setValues(
                self._device_id,
                _READ_INPUT_REGISTERS,
                self._register,
                registers_from_signals(signals),
            )

    async def _leave(self, server: ModbusTcpServer) -> None:
        self._handshake.safe(fault=False)
        await server.shutdown()  # type: ignore[no-untyped-call]

    async def _on_access(
        self,
        function_code: int,
        _start: int,
        address: int,
        count: int,
        _registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Called before each read and write, the station's own included."""
        if self._taken is None:
            return None
        if values is not None and self._acknowledge_register is not None:
            place = self._acknowledge_register - address
            is_acknowledge = function_code != _READ_INPUT_REGISTERS and 0 <= place < len(values)
            if is_acknowledge and self._handshake.takes(int(values[place])):
                self._taken.set()
        elif values is None and self._acknowledge_register is None:
            end = address + count
            if function_code == _READ_INPUT_REGISTERS and address <= self._register <= end - 2:
                self._taken.set()
        return None
