"""Modbus TCP, the station as server: a PLC polls it.

The block of `edge.line.block` in input registers (function code 4), and the acknowledge register
as a holding register (function codes 6 and 16). Modbus has no passwords: keep the port within
the network of the machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from edge.line.block import BLOCK_WORDS, words_from_signals
from edge.line.handshake import Signals
from edge.line.modbus import ModbusOutputConfig
from edge.line.server_output import ServerOutput
from edge.line.signals import block_signals
from edge.part.record import InspectionRecord
from edge.part.signal import Seen, Signal, word_signal
from edge.peers.connections import ConnectionLimits
from edge.peers.modbus import INSTALL
from edge.peers.place_names import register_name
from edge.peers.resources import ListeningPort
from inspection.config.claims import Claim
from inspection.config.plugins import Sdk, require
from inspection.errors import LineError

if TYPE_CHECKING:
    from pymodbus import server as pymodbus_server
    from pymodbus import simulator
    from pymodbus.constants import ExcCodes
    from pymodbus.server import ModbusTcpServer
else:
    pymodbus_server, simulator = Sdk("pymodbus.server"), Sdk("pymodbus.simulator")

_READ_INPUT_REGISTERS = 4


class ModbusServerConfig(ModbusOutputConfig):
    """Serves a PLC that polls; see `edge.line.modbus_server`.

    Attributes:
        connections: limits of the connections of the PLC and others.
    """

    kind: Literal["modbus_server"]
    connections: ConnectionLimits = ConnectionLimits()

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the port, and to the registers in their two tables."""
        yield Claim(("port",), ListeningPort(self.host, self.port))
        yield from self.registers("register_address", "input register", BLOCK_WORDS)
        yield from self.registers("acknowledge_register", "holding register")

    def driver(self) -> ModbusServer:
        """Returns the output, not yet opened; raises LineError without the package."""
        require("output 'modbus_server'", "pymodbus", INSTALL, LineError)
        return ModbusServer(self)


class ModbusServer(ServerOutput["ModbusTcpServer"]):
    """Holds the verdicts ready for a PLC."""

    def __init__(self, config: ModbusServerConfig) -> None:
        super().__init__(
            f"modbus_server {config.host}:{config.port}",
            acknowledged=config.acknowledge_register is not None,
            hold_ms=config.hold_ms,
            timeout_ms=config.timeout_ms,
            limits=config.connections,
            start_errors=(RuntimeError,),
            hint="check that the address is one of this device and no other program uses the port",
        )
        self._config = config
        self._taken: asyncio.Event | None = None  # only while a verdict waits for the PLC
        self._shown: Seen | None = None
        self._acknowledged: Seen | None = None

    def signals(self) -> Sequence[Signal]:
        """Returns the block as it is shown, and the acknowledge as it was last written."""
        config = self._config
        found = list(block_signals(self._shown, partial(register_name, config.register_address)))
        if config.acknowledge_register is not None:
            address = register_name(config.acknowledge_register)
            found.append(word_signal("acknowledge", address, self._acknowledged, is_input=True))
        return found

    def _not_taken(self, trigger_id: str) -> str:
        act = "acknowledge" if self._config.acknowledge_register is not None else "fetch"
        return f"the PLC did not {act} the verdict of {trigger_id}; check that it polls"

    async def _start(self) -> ModbusTcpServer:
        config = self._config
        unused = [simulator.SimData(0, count=16, values=False, datatype=simulator.DataType.BITS)]
        block = simulator.SimData(
            config.register_address, count=BLOCK_WORDS, datatype=simulator.DataType.REGISTERS
        )
        acknowledge = simulator.SimData(
            config.acknowledge_register or 0, datatype=simulator.DataType.REGISTERS
        )
        device = simulator.SimDevice(
            config.device_id,
            simdata=(unused, list(unused), [acknowledge], [block]),
            action=self._on_access,
        )
        server = pymodbus_server.ModbusTcpServer(device, address=(config.host, config.port))
        await server.serve_forever(background=True)
        return server

    async def _tell(self, record: InspectionRecord, server: ModbusTcpServer) -> None:
        self._taken = asyncio.Event()
        try:
            await self._hold(server, self._handshake.result(record))
            if self._config.acknowledge_register is None:
                await self._taken.wait()
            else:
                await self._wait(self._taken.wait(), server)
        finally:
            self._taken = None

    async def _hold(self, server: ModbusTcpServer, signals: Signals) -> None:
        words = words_from_signals(signals)
        await server.async_setValues(
            self._config.device_id, _READ_INPUT_REGISTERS, self._config.register_address, words
        )
        self._shown = Seen(words, time.monotonic_ns())

    async def _stop(self, server: ModbusTcpServer) -> None:
        await self._hold(server, self._handshake.safe(fault=False))
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
        """Takes an acknowledge. pymodbus calls it before each read and write, the station's too."""
        acknowledge = self._config.acknowledge_register
        if values is not None and acknowledge is not None:
            place = acknowledge - address
            is_acknowledge = function_code != _READ_INPUT_REGISTERS and 0 <= place < len(values)
            if is_acknowledge:
                self._take(int(values[place]))
        elif self._taken is None:
            return None
        elif values is None and acknowledge is None:
            block, end = self._config.register_address, address + count
            if function_code == _READ_INPUT_REGISTERS and address <= block <= end - 2:
                self._taken.set()
        return None

    def _take(self, number: int) -> None:
        self._acknowledged = Seen((number,), time.monotonic_ns())
        if self._taken is not None and self._handshake.takes(number):
            self._taken.set()
