"""A PLC with Modbus TCP that the station writes to and reads from: the station is the client."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, NamedTuple

from edge.line.block import BLOCK_WORDS
from edge.line.handshake import SEQUENCE_MAX
from edge.peers.loop_thread import LoopThread
from edge.sim.base import LOOPBACK, cannot_listen, reached_at
from edge.sim.counting import CountingPlc
from inspection.config.plugins import Sdk, require
from inspection.errors import LineError

if TYPE_CHECKING:
    from pymodbus import client as modbus_client
    from pymodbus import server as modbus_server
    from pymodbus import simulator
else:
    modbus_client, modbus_server = Sdk("pymodbus.client"), Sdk("pymodbus.server")
    simulator = Sdk("pymodbus.simulator")

_START_S = 20.0
_HUNG_S = 0.005  # between two looks whether a hung PLC runs again
_INSTALL = "pip install 'linewarden[modbus]'"


class Registers(NamedTuple):
    """The addresses of a PLC, counted from 0; None for one that it does not have.

    Attributes:
        block: first register of the block that the station writes.
        acknowledge: holding register with the number of the last verdict that the PLC took.
        trigger: holding register, or coil, that announces a part.
        is_coil: `trigger` is a coil.
        part_id: first register of the part id, with so many registers.
        recipe_request: holding register with the number of the wanted recipe.
        recipe_status: first of the three registers with the answer.
    """

    block: int = 0
    acknowledge: int | None = None
    trigger: int | None = None
    is_coil: bool = False
    part_id: tuple[int, int] | None = None
    recipe_request: int | None = None
    recipe_status: int | None = None

    @property
    def size(self) -> int:
        """Number of registers from 0 that hold all of them."""
        ends = [self.block + BLOCK_WORDS, 64]
        single = (self.acknowledge, self.trigger, self.recipe_request)
        ends += [address + 1 for address in single if address is not None]
        if self.part_id is not None:
            ends.append(sum(self.part_id))
        if self.recipe_status is not None:
            ends.append(self.recipe_status + 3)
        return max(ends)


class Plc(CountingPlc):
    """A Modbus TCP server on loopback, or on `host`.

    Args:
        device_id: unit identifier.

    Raises:
        LineError: the package is not installed, or the port cannot be opened.
    """

    def __init__(
        self,
        port: int,
        registers: Registers,
        *,
        host: str = LOOPBACK,
        device_id: int = 1,
        acknowledges: bool = True,
    ) -> None:
        super().__init__(f"PLC {host}:{port}", port, acknowledges=acknowledges)
        require("the simulated PLC", "pymodbus", _INSTALL, LineError)
        self._host, self._registers, self._device_id = host, registers, device_id
        self._announced = 0
        self._loop = LoopThread("simulated PLC")
        try:
            self._server = self._loop.run(self._start(), _START_S)
        except (OSError, RuntimeError) as error:
            self._loop.stop()
            raise cannot_listen("the simulated PLC", host, port, error) from error
        self.client = modbus_client.ModbusTcpClient(reached_at(host), port=port)
        self._giving = threading.Lock()

    def write(self, address: int, *values: int) -> None:
        """Sets holding registers, as the program of the PLC does."""
        with self._giving:
            self.client.write_registers(address, list(values), device_id=self._device_id)

    def announce(self, part_id: str = "") -> None:
        """Announces a part by its trigger register or coil, which goes back to 0 at the next."""
        registers = self._registers
        if registers.trigger is None:
            raise LineError("the simulated PLC has no trigger; give its register")
        if registers.part_id is not None:
            first, count = registers.part_id
            text = part_id.encode("ascii", "replace")[: 2 * count].ljust(2 * count, b"\0")
            self.write(
                first,
                *(int.from_bytes(text[at : at + 2], "big") for at in range(0, 2 * count, 2)),
            )
        if registers.is_coil:
            with self._giving:
                self.client.write_coil(registers.trigger, False, device_id=self._device_id)
                self.client.write_coil(registers.trigger, True, device_id=self._device_id)
        else:
            self._announced = self._announced % SEQUENCE_MAX + 1
            self.write(registers.trigger, self._announced)

    def request_recipe(self, number: int) -> None:
        """Asks for a recipe."""
        if self._registers.recipe_request is None:
            raise LineError("the simulated PLC asks for no recipes; give the register")
        self.write(self._registers.recipe_request, number)

    def close(self) -> None:
        """Implements `Machine.close`."""
        super().close()
        self.client.close()  # type: ignore[no-untyped-call]
        self._loop.run(self._server.shutdown(), _START_S)  # type: ignore[no-untyped-call]
        self._loop.stop()

    async def _start(self) -> modbus_server.ModbusTcpServer:
        kinds = simulator.DataType
        count = self._registers.size
        bits = [simulator.SimData(0, count=count, values=False, datatype=kinds.BITS)]
        words = [simulator.SimData(0, count=count, datatype=kinds.REGISTERS)]
        unused = [simulator.SimData(0, count=1, datatype=kinds.REGISTERS)]
        device = simulator.SimDevice(
            self._device_id, simdata=(bits, list(bits), words, unused), action=self._on_access
        )
        server = modbus_server.ModbusTcpServer(device, address=(self._host, self.port))
        await server.serve_forever(background=True)
        return server

    async def _on_access(
        self,
        _function: int,
        _start: int,
        address: int,
        _count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> None:
        """Takes a block. pymodbus calls it before each read and write."""
        while not self.running.is_set():
            await asyncio.sleep(_HUNG_S)
        is_block = address == self._registers.block
        if values is None or len(values) != BLOCK_WORDS or not is_block:
            return
        number, acknowledge = self.take(values), self._registers.acknowledge
        if number is not None and acknowledge is not None:
            registers[acknowledge] = number
