"""Modbus TCP, the station as client.

Source of the function codes (1, 3 and 16): MODBUS Application Protocol V1.1b3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from edge.peers.addresses import ModbusPeer
from edge.peers.exchanges import Exchanges
from edge.peers.plc import PlcConnection, PlcError
from inspection.config.plugins import Sdk

if TYPE_CHECKING:
    import pymodbus
    from pymodbus import client as clients
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.pdu import ModbusPDU
else:
    pymodbus, clients = Sdk("pymodbus"), Sdk("pymodbus.client")

INSTALL = "pip install 'linewarden[modbus]'"


class ModbusSession:
    """Holding registers and coils of a PLC; see `edge.peers.plc.Session`."""

    def __init__(self, config: ModbusPeer) -> None:
        self._config = config
        self._client: AsyncModbusTcpClient | None = None
        self._exchanges = Exchanges()

    async def connect(self) -> None:
        """Connects."""
        self._client = clients.AsyncModbusTcpClient(
            self._config.host,
            port=self._config.port,
            # The caller has the limit; a request that it gave up waits on for its answer.
            timeout=3 * self._config.timeout_ms / 1e3,
            retries=0,
            reconnect_delay=0,  # no late message about a part; the owner connects again
        )
        if not await self._client.connect():
            raise ConnectionError("no connection")

    async def read(self, place: int, count: int = 1) -> Sequence[int]:
        """Reads holding registers."""
        answer = await self._ask(
            lambda client: client.read_holding_registers(
                place, count=count, device_id=self._config.device_id
            )
        )
        return answered(answer, count=count).registers

    async def read_coil(self, place: int) -> bool:
        """Reads one coil."""
        answer = await self._ask(
            lambda client: client.read_coils(place, count=1, device_id=self._config.device_id)
        )
        return answered(answer, bits=1).bits[0]

    async def write(self, place: int, words: Sequence[int]) -> None:
        """Writes holding registers."""
        answer = await self._ask(
            lambda client: client.write_registers(
                place, list(words), device_id=self._config.device_id
            )
        )
        answered(answer)

    async def post(self, place: int, words: Sequence[int]) -> None:
        """Writes holding registers without waiting for the answer."""
        self._exchanges.give_up()
        if self._client is not None and self._client.connected:
            await self._client.write_registers(
                place,
                list(words),
                device_id=self._config.device_id,
                no_response_expected=True,
            )

    async def close(self) -> None:
        """Disconnects."""
        if self._client is None:
            return
        transport = self._client.ctx.transport
        if isinstance(transport, asyncio.WriteTransport):
            self._exchanges.part(transport, self)
            # Else `close` of pymodbus would close it at once.
            self._client.ctx.transport = None  # type: ignore[assignment]
        self._client.close()

    async def _ask(
        self, request: Callable[[AsyncModbusTcpClient], Awaitable[ModbusPDU]]
    ) -> ModbusPDU:
        client = self._client
        if client is None or not client.connected:
            raise ConnectionError("the connection is lost")  # pymodbus would connect in silence
        try:
            return await self._exchanges.run(lambda: request(client))
        except pymodbus.ModbusException as error:
            raise PlcError(str(error)) from error


def modbus_connection(name: str, config: ModbusPeer) -> PlcConnection[ModbusSession]:
    """Returns a connection, not yet open."""
    return PlcConnection(name, lambda: ModbusSession(config), config.timeout_ms)


def answered(response: ModbusPDU, *, count: int = 0, bits: int = 0) -> ModbusPDU:
    """Returns a response that answers its request.

    Args:
        count: number of requested registers.
        bits: least number of bits in the response.

    Raises:
        PlcError: the response reports an error, which pymodbus does not raise, or does not fit the
            request.
    """
    if response.isError():
        raise PlcError(f"the PLC refuses with exception code {response.exception_code}")
    if len(response.registers) != count or len(response.bits) < bits:
        raise PlcError("the answer of the PLC does not fit the request")
    return response
