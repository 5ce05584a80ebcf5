"""Modbus TCP, the station as client: it writes each verdict to holding registers of a PLC.

The block of `edge.line.block`, by function code 16. The acknowledge register holds the sequence
number of the last verdict that the PLC took.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Literal

from edge.line.block import BLOCK_WORDS
from edge.line.plc import BlockPlaces, PlcOutput
from edge.peers.addresses import Milliseconds, ModbusPeer, Register
from edge.peers.modbus import INSTALL, modbus_connection
from edge.peers.place_names import register_name
from inspection.config.claims import Claim
from inspection.config.plugins import require
from inspection.errors import LineError


class ModbusOutputConfig(ModbusPeer):
    """The registers that both ends of Modbus have in common.

    Attributes:
        register_address: where the block of 15 registers begins, counted from 0.
        acknowledge_register: holding register with the number of the last verdict that the PLC
            took; None: the PLC acknowledges nothing, and takes a verdict of the server by reading
            its status word and number.
        hold_ms: least time that a verdict is shown where the PLC acknowledges nothing; the next
            one waits for it.
    """

    register_address: Register = 0
    acknowledge_register: Register | None = None
    hold_ms: Milliseconds = 200.0


class ModbusConfig(ModbusOutputConfig):
    """Writes to a PLC; see `edge.line.modbus`."""

    kind: Literal["modbus"]

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the block and to the acknowledge register."""
        yield from self.registers("register_address", "holding register", BLOCK_WORDS)
        yield from self.registers("acknowledge_register", "holding register")

    def driver(self) -> PlcOutput[int]:
        """Returns the output, not yet opened; raises LineError without the package."""
        require("output 'modbus'", "pymodbus", INSTALL, LineError)
        name = f"modbus {self.host}:{self.port}"
        acknowledge = self.acknowledge_register
        return PlcOutput(
            name,
            modbus_connection(name, self),
            BlockPlaces(
                self.register_address,
                acknowledge,
                f"register {acknowledge}",
                partial(register_name, self.register_address),
            ),
            hold_ms=self.hold_ms,
            check="host, port, device_id and register_address",
        )
