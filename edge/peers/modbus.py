"""A connection to a PLC by Modbus TCP, the station as client.

Source of the function codes (1, 3 and 16): MODBUS Application Protocol V1.1b3.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from edge.peers.addresses import ModbusPeer
from edge.peers.loop_thread import LoopThread
from inspection.config.plugins import Sdk
from inspection.errors import LineError

if TYPE_CHECKING:
    import pymodbus
    from pymodbus import client as clients
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.pdu import ModbusPDU
else:
    pymodbus, clients = Sdk("pymodbus"), Sdk("pymodbus.client")

Answer = TypeVar("Answer")
Work = Callable[[], Coroutine[Any, Any, Answer]]

_log = logging.getLogger(__name__)


class Registers(NamedTuple):
    """Values of consecutive holding registers, from an address on."""

    address: int
    values: Sequence[int]


class ModbusConnection:
    """One connection. One thread calls it; the coroutines run within `call`.

    Args:
        name: names the use of the connection in messages.
    """

    def __init__(self, name: str, config: ModbusPeer) -> None:
        self._name = name
        self._config = config
        self._loop: LoopThread | None = None
        self._client: AsyncModbusTcpClient | None = None

    @property
    def is_open(self) -> bool:
        """True from `connect` to `close`."""
        return self._client is not None

    def call(self, work: Work[Answer]) -> Answer:
        """Runs `work`; the time limit of the configuration holds for all of it.

        Raises:
            OSError, ModbusException: the PLC does not answer in time, or refuses.
        """
        if self._loop is None:
            self._loop = LoopThread(self._name)
        return self._loop.run(work(), self._config.timeout_ms / 1e3)

    def disconnect(self, farewell: Callable[[], Registers] | None = None) -> None:
        """Disconnects. Safe to call twice, and without `connect`.

        Args:
            farewell: returns the registers to write last, without waiting for the answer. The
                loop runs on, so that they leave before the connection does.
        """
        client, self._client = self._client, None
        if client is None or self._loop is None:
            return
        try:
            self._loop.run(self._leave(client, farewell), self._config.timeout_ms / 1e3)
        except (OSError, pymodbus.ModbusException) as error:
            _log.warning("%s: closed without the safe state: %s", self._name, error)

    def close(self) -> None:
        """Disconnects and ends the thread. Safe to call twice, and without `connect`."""
        self.disconnect()
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    async def connect(self) -> None:
        """Connects; call it once after each `close`."""
        self._client = clients.AsyncModbusTcpClient(
            self._config.host,
            port=self._config.port,
            timeout=self._config.timeout_ms / 1e3,
            retries=0,
            reconnect_delay=0,  # no late message about a part; the owner connects again
        )
        if not await self._client.connect():
            raise ConnectionError("no connection")

    async def read(self, address: int, count: int = 1) -> Sequence[int]:
        """Reads holding registers, each 0 to 65535."""
        response = await self._connected().read_holding_registers(
            address, count=count, device_id=self._config.device_id
        )
        return answered(response, count=count).registers

    async def read_coil(self, address: int) -> bool:
        """Reads one coil."""
        response = await self._connected().read_coils(
            address, count=1, device_id=self._config.device_id
        )
        return answered(response, bits=1).bits[0]

    async def write(self, address: int, values: Sequence[int]) -> None:
        """Writes holding registers by one request, so that the PLC never sees half of them."""
        response = await self._connected().write_registers(
            address, list(values), device_id=self._config.device_id
        )
        answered(response)

    def _connected(self) -> AsyncModbusTcpClient:
        if self._client is None or not self._client.connected:
            raise ConnectionError("the connection is lost")  # pymodbus would connect in silence
        return self._client

    async def _leave(
        self, client: AsyncModbusTcpClient, farewell: Callable[[], Registers] | None
    ) -> None:
        try:
            if farewell is not None and client.connected:
                last = farewell()
                await client.write_registers(
                    last.address,
                    list(last.values),
                    device_id=self._config.device_id,
                    no_response_expected=True,
                )
        finally:  # also when the loop is stopped meanwhile
            client.close()


class Plc:
    """A PLC that a trigger or a recipe request reads, one request after the other.

    One thread calls it. An error closes the connection, and `open` connects again.

    Args:
        name: names the use of the PLC in messages.
    """

    def __init__(self, name: str, config: ModbusPeer) -> None:
        self._name = name
        self._connection = ModbusConnection(name, config)

    def open(self) -> None:
        """Connects, in place of an earlier connection.

        Raises:
            LineError: the PLC cannot be reached.
        """
        self.close()
        try:
            self._connection.call(self._connection.connect)
        except (OSError, pymodbus.ModbusException) as error:
            self.close()
            raise LineError(f"{self._name}: no connection; check the PLC, host and port") from error

    def close(self) -> None:
        """Disconnects. Safe to call twice, and without `open`."""
        self._connection.close()

    def registers(self, address: int, count: int = 1) -> Sequence[int]:
        """Reads holding registers, each 0 to 65535.

        Raises:
            LineError: the PLC does not answer, or refuses; the message says what to check.
        """
        return self._ask(address, lambda: self._connection.read(address, count))

    def coil(self, address: int) -> bool:
        """Reads one coil; raises the errors of `registers`."""
        return self._ask(address, lambda: self._connection.read_coil(address))

    def write(self, address: int, values: Sequence[int]) -> None:
        """Writes holding registers by one request; raises the errors of `registers`."""
        self._ask(address, lambda: self._connection.write(address, values))

    def _ask(self, address: int, work: Work[Answer]) -> Answer:
        if not self._connection.is_open:
            raise LineError(f"{self._name}: the connection is not open")
        try:
            return self._connection.call(work)
        except (OSError, pymodbus.ModbusException) as error:
            self.close()
            raise LineError(
                f"{self._name}: address {address}: {error}; check that the PLC runs, the "
                "addresses and device_id"
            ) from error


def answered(response: ModbusPDU, *, count: int = 0, bits: int = 0) -> ModbusPDU:
    """Returns a response that answers its request.

    Args:
        count: number of requested registers.
        bits: least number of bits in the response.

    Raises:
        ModbusException: the response reports an error, which pymodbus does not raise, or does not
            fit the request.
    """
    if response.isError():
        raise pymodbus.ModbusException(
            f"the PLC refuses with exception code {response.exception_code}"
        )
    if len(response.registers) != count or len(response.bits) < bits:
        raise pymodbus.ModbusException("the answer of the PLC does not fit the request")
    return response
