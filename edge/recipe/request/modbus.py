"""A PLC requests recipes by Modbus TCP, in holding registers; see `edge.recipe.request.plc`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from edge.peers.addresses import ModbusPeer, Register
from edge.peers.modbus import INSTALL, modbus_connection
from edge.peers.place_names import register_name
from edge.peers.plc import Plc
from edge.recipe.request.base import PollMilliseconds
from edge.recipe.request.plc import STATUS_WORDS, Addresses, PlcRequests
from inspection.config.claims import Claim
from inspection.config.plugins import require
from inspection.errors import LineError


class ModbusRecipeRequestConfig(ModbusPeer):
    """Registers of a PLC; see `edge.recipe.request.plc`.

    Attributes:
        request_address: holding register of the number that the PLC wants, counted from 0.
        status_address: first of three that the station writes.
    """

    kind: Literal["modbus"]
    request_address: Register
    status_address: Register
    poll_ms: PollMilliseconds = 100.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the request and to the three registers of the answer."""
        yield from self.registers("request_address", "holding register")
        yield from self.registers("status_address", "holding register", STATUS_WORDS)

    def driver(self, name: str) -> PlcRequests[int]:
        """Returns the source of requests, not yet opened; raises LineError without the package."""
        require("recipe request 'modbus'", "pymodbus", INSTALL, LineError)
        plc = Plc(name, modbus_connection(name, self), "host, port, device_id and the addresses")
        request, status = self.request_address, self.status_address
        addresses = Addresses.of(register_name, request, status)
        return PlcRequests(plc, request=request, status=status, addresses=addresses)
