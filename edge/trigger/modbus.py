"""A register or coil of a PLC, which the station polls by Modbus TCP.

A change to a value other than 0 is a trigger: the PLC may raise a bit and take it back, or count.
A value that the station finds when it connects is not: its part came before the station was READY.
The PLC writes the part id before the trigger.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from edge.encoder import Encoder
from edge.peers.addresses import ModbusPeer, Register
from edge.peers.modbus import Plc
from edge.peers.resources import Table
from edge.trigger.base import FiredConfig, Firing, part_id_from_text
from inspection.config.claims import Claim
from inspection.config.plugins import require
from inspection.errors import LineError

_INSTALL = "pip install 'linewarden[modbus]'"


class ModbusTriggerConfig(FiredConfig, ModbusPeer):
    """Polls a register or coil of a PLC; see `edge.trigger.modbus`.

    Attributes:
        table: kind of the trigger: a holding register (function code 3) or a coil (1).
        address: of the trigger, counted from 0.
        part_id_address: first holding register of the part id, in ASCII, two characters each; None:
            the PLC gives no part id.
        part_id_registers: number of these registers.
        poll_ms: time between two reads; the PLC must hold each value several times as long.
    """

    kind: Literal["modbus"]
    table: Literal["holding_register", "coil"] = "holding_register"
    address: Register
    part_id_address: Register | None = None
    part_id_registers: Annotated[int, Field(ge=1, le=32)] = 8
    poll_ms: Annotated[float, Field(ge=1, le=1000)] = 5.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the trigger and to the part id."""
        table: Table = "coil" if self.table == "coil" else "holding register"
        yield from self.registers("address", table)
        yield from self.registers("part_id_address", "holding register", self.part_id_registers)

    def driver(self, _encoder: Encoder | None) -> ModbusTrigger:
        """Returns the trigger, not yet opened; raises LineError without the package."""
        require("trigger 'modbus'", "pymodbus", _INSTALL, LineError)
        return ModbusTrigger(self)


class ModbusTrigger:
    """Polls a PLC every `poll_ms`."""

    def __init__(self, config: ModbusTriggerConfig) -> None:
        self._config = config
        self._plc = Plc(f"modbus trigger {config.host}:{config.port}", config)
        self._last = 0

    def open(self) -> None:
        """Connects, and notes the present value."""
        self._plc.open()
        self._last = self._read_trigger()

    def wait(self, timeout_s: float) -> Firing | None:
        """Polls until the value changes."""
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
        """Disconnects."""
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
