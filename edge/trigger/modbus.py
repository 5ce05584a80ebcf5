"""A register or coil of a PLC, which the station polls by Modbus TCP; see `edge.trigger.plc`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from edge.encoder import Encoder
from edge.peers.addresses import ModbusPeer, Register
from edge.peers.modbus import INSTALL, ModbusSession, modbus_connection
from edge.peers.plc import Plc
from edge.peers.resources import Table
from edge.trigger.base import FiredConfig
from edge.trigger.plc import PlcTrigger, PollMilliseconds, Reading
from inspection.config.claims import Claim
from inspection.config.plugins import require
from inspection.errors import LineError


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
    poll_ms: PollMilliseconds = 5.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the trigger and to the part id."""
        table: Table = "coil" if self.table == "coil" else "holding register"
        yield from self.registers("address", table)
        yield from self.registers("part_id_address", "holding register", self.part_id_registers)

    def driver(self, _encoder: Encoder | None) -> PlcTrigger[ModbusSession]:
        """Returns the trigger, not yet opened; raises LineError without the package."""
        require("trigger 'modbus'", "pymodbus", INSTALL, LineError)
        name = f"modbus trigger {self.host}:{self.port}"
        check = "host, port, device_id and the addresses"
        return PlcTrigger(
            Plc(name, modbus_connection(name, self), check),
            poll_ms=self.poll_ms,
            value=Reading(f"address {self.address}", self._read_value),
            part_id=self._part_id,
        )

    async def _read_value(self, session: ModbusSession) -> int:
        if self.table == "coil":
            return int(await session.read_coil(self.address))
        return (await session.read(self.address))[0]

    @property
    def _part_id(self) -> Reading | None:
        address = self.part_id_address
        if address is None:
            return None

        async def read(session: ModbusSession) -> str:
            words = await session.read(address, self.part_id_registers)
            return b"".join(word.to_bytes(2, "big") for word in words).decode("ascii", "replace")

        return Reading(f"address {address}", read)
