"""A register or coil of a PLC, which the station polls by Modbus TCP.

A change to a value other than 0 is a trigger: the PLC may raise a bit and take it back, or count.
What stands there when the station connects is none: its part was before the station was READY.
The PLC writes the part id before the trigger.
Source of the function codes: MODBUS Application Protocol V1.1b3.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from pymodbus import ModbusException
from pymodbus.client import ModbusTcpClient

from edge.errors import LineError
from edge.trigger.base import Firing, part_id_from_text


class ModbusTrigger:
    """Polls a PLC; see `edge.trigger.ModbusTriggerConfig` for the arguments."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        device_id: int,
        table: Literal["holding_register", "coil"],
        address: int,
        part_id_address: int | None,
        part_id_registers: int,
        poll_ms: float,
        timeout_ms: float,
    ) -> None:
        self._name = f"modbus trigger {host}:{port}"
        self._host = host
        self._port = port
        self._device_id = device_id
        self._is_coil = table == "coil"
        self._address = address
        self._part_id_address = part_id_address
        self._part_id_registers = part_id_registers
        self._poll_s = poll_ms / 1e3
        self._timeout_s = timeout_ms / 1e3
        self._client: ModbusTcpClient | None = None
        self._last = 0

    def open(self) -> None:
        """Connect, and note what stands there; see `FiredTrigger.open`."""
        self.close()
        self._client = ModbusTcpClient(
            self._host, port=self._port, timeout=self._timeout_s, retries=0
        )
        if not self._client.connect():  # type: ignore[no-untyped-call]
            self.close()
            raise LineError(f"{self._name}: no connection; check the PLC, host and port")
        self._last = self._read_trigger()

    def wait(self, timeout_s: float) -> Firing | None:
        """See `FiredTrigger.wait`."""
        until_s = time.monotonic() + timeout_s
        while True:
            value = self._read_trigger()
            last, self._last = self._last, value
            if value not in (0, last):
                fired_ns = time.monotonic_ns()
                return Firing(self._read_part_id(), fired_ns)
            if time.monotonic() >= until_s:
                return None
            time.sleep(self._poll_s)

    def close(self) -> None:
        """Disconnect; see `FiredTrigger.close`."""
        client, self._client = self._client, None
        if client is not None:
            client.close()  # type: ignore[no-untyped-call]

    def _read_trigger(self) -> int:
        if self._is_coil:
            return int(self._read(self._address, 1, is_coil=True)[0])
        return int(self._read(self._address, 1)[0])

    def _read_part_id(self) -> str | None:
        if self._part_id_address is None:
            return None
        words = self._read(self._part_id_address, self._part_id_registers)
        text = b"".join(int(word).to_bytes(2, "big") for word in words)
        return part_id_from_text(text.decode("ascii", "replace"))

    def _read(self, address: int, count: int, *, is_coil: bool = False) -> Sequence[int]:
        if self._client is None:
            raise LineError(f"{self._name}: the trigger is not open")
        read = self._client.read_coils if is_coil else self._client.read_holding_registers
        try:
            response = read(address, count=count, device_id=self._device_id)
        except (OSError, ModbusException) as error:
            self.close()
            raise LineError(f"{self._name}: lost: {error}; check that the PLC runs") from error
        if response.isError():
            self.close()
            raise LineError(
                f"{self._name}: the PLC refuses address {address} with exception code "
                f"{response.exception_code}; check address, part_id_address and device_id"
            )
        return response.bits if is_coil else response.registers
