"""A PLC requests recipes by Modbus TCP; the station is the client and polls.

The PLC has four holding registers; the station writes the last three:

    request_address      number of the recipe that the PLC wants (RecipeRequest); 0 asks for none
    status_address + 0   number of the recipe in force (RecipeActive)
    status_address + 1   0 nothing to do, 1 a recipe is being loaded, 2 the last request failed
    status_address + 2   the request that this answers

A new number is one request; so is the number that the station finds at its start, unless that
recipe is in force. To ask for the same one again the PLC writes 0, waits for the answer, and then
writes the number. The PLC sends the next parts when the answer is to its request, the state is 0,
RecipeActive is the number, and the station is READY.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from edge.peers.addresses import ModbusPeer, Register
from edge.peers.modbus import Plc
from edge.recipe.request.base import Answer, PollMilliseconds, Request, State
from inspection.config.claims import Claim
from inspection.config.plugins import require
from inspection.errors import LineError

_STATES = tuple(State)


_INSTALL = "pip install 'linewarden[modbus]'"


class ModbusRecipeRequestConfig(ModbusPeer):
    """Registers of a PLC; see `edge.recipe.request.modbus`.

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
        yield from self.registers("status_address", "holding register", 3)

    def driver(self, name: str) -> ModbusRequests:
        """Returns the source of requests, not yet opened; raises LineError without the package."""
        require("recipe request 'modbus'", "pymodbus", _INSTALL, LineError)
        return ModbusRequests(name, self)


class ModbusRequests:
    """Polls a PLC; see `edge.recipe.request.base.RequestSource`."""

    def __init__(self, name: str, config: ModbusRecipeRequestConfig) -> None:
        self._config = config
        self._plc = Plc(name, config)
        self._wanted: int | None = None  # what stood there last; None before the first look

    def open(self) -> None:
        """Connect."""
        self._plc.open()

    def take(self) -> Request | None:
        """Returns the number in the register, unless it is that of the last look."""
        (wanted,) = self._plc.registers(self._config.request_address)
        before, self._wanted = self._wanted, wanted
        return Request(wanted, was_there=before is None) if wanted != before else None

    def answer(self, answer: Answer) -> None:
        """Write the three registers."""
        request = answer.request.number if answer.request is not None else 0
        values = [answer.active or 0, _STATES.index(answer.state), request]
        self._plc.write(self._config.status_address, values)

    def close(self) -> None:
        """Disconnect."""
        self._plc.close()
