"""A PLC that the station asks by Modbus TCP, one request after the other.

Source of the function codes (1, 3 and 16): MODBUS Application Protocol V1.1b3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pymodbus import ModbusException
from pymodbus.client import ModbusTcpClient
from pymodbus.pdu import ModbusPDU

from edge.errors import LineError
from edge.line.config import ModbusPeer

Response = TypeVar("Response", bound=ModbusPDU)


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
        return self._ask(
            address,
            lambda client, unit: client.read_holding_registers(
                address, count=count, device_id=unit
            ),
        ).registers

    def coil(self, address: int) -> bool:
        """One coil; see `registers`."""
        return self._ask(
            address, lambda client, unit: client.read_coils(address, count=1, device_id=unit)
        ).bits[0]

    def write(self, address: int, values: Sequence[int]) -> None:
        """Write holding registers by one request; see `registers`."""
        self._ask(
            address,
            lambda client, unit: client.write_registers(address, list(values), device_id=unit),
        )

    def _ask(self, address: int, request: Callable[[ModbusTcpClient, int], Response]) -> Response:
        if self._client is None:
            raise LineError(f"{self._name}: the connection is not open")
        try:
            response = request(self._client, self._config.device_id)
        except (OSError, ModbusException) as error:
            self.close()
            raise LineError(f"{self._name}: lost: {error}; check that the PLC runs") from error
        if response.isError():
            self.close()
            raise LineError(
                f"{self._name}: the PLC refuses address {address} with exception code "
                f"{response.exception_code}; check the addresses and device_id"
            )
        return response
