"""A register or coil of a PLC, which the station polls by Modbus TCP.

A change to a value other than 0 is a trigger: the PLC may raise a bit and take it back, or count.
What stands there when the station connects is none: its part was before the station was READY.
The PLC writes the part id before the trigger.
"""

from __future__ import annotations

import time

from edge.peers.modbus import Plc
from edge.trigger.base import Firing, part_id_from_text
from edge.trigger.config import ModbusTriggerConfig


class ModbusTrigger:
    """Polls a PLC."""

    def __init__(self, config: ModbusTriggerConfig) -> None:
        self._config = config
        self._plc = Plc(f"modbus trigger {config.host}:{config.port}", config)
        self._last = 0

    def open(self) -> None:
        """Connect, and note what stands there; see `FiredTrigger.open`."""
        self._plc.open()
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
            time.sleep(self._config.poll_ms / 1e3)

    def close(self) -> None:
        """Disconnect; see `FiredTrigger.close`."""
        self._plc.close()

    def _read_trigger(self) -> int:
        address = self._config.address
        if self._config.table == "coil":
            return int(self._plc.coil(address))
        return self._plc.registers(address)[0]

    def _read_part_id(self) -> str | None:
        address = self._config.part_id_address
        if address is None:
            return None
        words = self._plc.registers(address, self._config.part_id_registers)
        text = b"".join(word.to_bytes(2, "big") for word in words)
        return part_id_from_text(text.decode("ascii", "replace"))
