"""A PLC that the station asks by Modbus TCP, one request after the other.

Source of the function codes (1, 3 and 16): MODBUS Application Protocol V1.1b3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pymodbus import ModbusException
from pymodbus.client import ModbusTcpClient
from pymodbus.pdu import ModbusPDU

from edge.peers.addresses import ModbusPeer
from inspection.errors import LineError

Answer = TypeVar("Answer")


class Plc:
    """One connection, for one thread. An error closes it, and `open` makes it anew.

    Args:
        name: of its use, for messages.
    """

    def __init__(self, name: str, config: ModbusPeer) -> None:
        self._name = name
        self._config = config
        self._client: ModbusTcpClient | None = None

    def open(self) -> None:
        """Connect, anew where it is connected already.

        Raises:
            LineError: there is no connection.
        """
        self.close()
        config = self._config
        self._client = ModbusTcpClient(
            config.host, port=config.port, timeout=config.timeout_ms / 1e3, retries=0
        )
        if not self._client.connect():  # type: ignore[no-untyped-call]
            self.close()
            raise LineError(f"{self._name}: no connection; check the PLC, host and port")

    def close(self) -> None:
        """Disconnect. Safe to call twice, and without `open`."""
        client, self._client = self._client, None
        if client is not None:
            client.close()  # type: ignore[no-untyped-call]

    def registers(self, address: int, count: int = 1) -> Sequence[int]:
        """Holding registers, each 0 to 65535.

        Raises:
            LineError: the PLC does not answer, or refuses; the message says what to check.
        """

        def read(client: ModbusTcpClient, unit: int) -> Sequence[int]:
            response = client.read_holding_registers(address, count=count, device_id=unit)
            return answered(response, count=count).registers

        return self._ask(address, read)

    def coil(self, address: int) -> bool:
        """One coil; see `registers`."""

        def read(client: ModbusTcpClient, unit: int) -> bool:
            return answered(client.read_coils(address, count=1, device_id=unit), bits=1).bits[0]

        return self._ask(address, read)

    def write(self, address: int, values: Sequence[int]) -> None:
        """Write holding registers by one request; see `registers`."""

        def write(client: ModbusTcpClient, unit: int) -> None:
            answered(client.write_registers(address, list(values), device_id=unit))

        self._ask(address, write)

    def _ask(self, address: int, request: Callable[[ModbusTcpClient, int], Answer]) -> Answer:
        if self._client is None:
            raise LineError(f"{self._name}: the connection is not open")
        try:
            return request(self._client, self._config.device_id)
        except (OSError, ModbusException) as error:
            self.close()
            raise LineError(
                f"{self._name}: address {address}: {error}; check that the PLC runs, the "
                "addresses and device_id"
            ) from error


def answered(response: ModbusPDU, *, count: int = 0, bits: int = 0) -> ModbusPDU:
    """A response that answers its request.

    Args:
        count: registers that were asked for; it holds none when it answers something else.
        bits: that were asked for, at least.

    Raises:
        ModbusException: it is the answer of an error, which pymodbus does not raise, or to
            something else.
    """
    if response.isError():
        raise ModbusException(f"the PLC refuses with exception code {response.exception_code}")
    if len(response.registers) != count or len(response.bits) < bits:
        raise ModbusException("the PLC answers something else than it was asked")
    return response
