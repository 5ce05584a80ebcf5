"""Recipes that a PLC asks for by Modbus TCP; the station is the client and polls.

The PLC holds four holding registers, the last three of them written by the station:

    request_address      number of the recipe that the PLC wants (RecipeRequest); 0 asks for none
    status_address + 0   number of the recipe in force (RecipeActive)
    status_address + 1   0 nothing to do, 1 a recipe is being loaded, 2 the last request failed
    status_address + 2   the request that this is the answer to

A number is asked for once, when it comes to stand there; also when the station starts with another
recipe. To ask for the same one again the PLC writes 0, waits until that is answered, and writes the
number. The PLC sends the next parts when the answer is to its request, the state is 0, RecipeActive
is the number, and the station is READY.
Source of the function codes (3 and 16): MODBUS Application Protocol V1.1b3.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from pymodbus import ModbusException
from pymodbus.client import ModbusTcpClient

from edge.changeover import Changeover
from edge.errors import LineError
from edge.pauses import growing_pauses

_IDLE, _LOADING, _FAILED = range(3)
_JOIN_S = 10.0

_log = logging.getLogger(__name__)


class ModbusRecipeRequest:
    """Polls a PLC on a thread of its own while it is entered; a lost PLC is connected again.

    See `edge.line_config.RecipeRequestConfig` for the other arguments.
    """

    def __init__(
        self,
        *,
        changeover: Changeover,
        host: str,
        port: int,
        device_id: int,
        request_address: int,
        status_address: int,
        poll_ms: float,
        timeout_ms: float,
    ) -> None:
        self._name = f"recipe request {host}:{port}"
        self._changeover = changeover
        self._device_id = device_id
        self._request_address = request_address
        self._status_address = status_address
        self._poll_s = poll_ms / 1e3
        self._client = ModbusTcpClient(host, port=port, timeout=timeout_ms / 1e3, retries=0)
        self._answered: int | None = None  # the request that was dealt with; None before the first
        self._is_refused = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recipe request", daemon=True)

    def __enter__(self) -> ModbusRecipeRequest:
        """Begin to poll; the PLC may be absent."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Poll no more."""
        self._stopping.set()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        pauses = growing_pauses()
        pause_s, is_lost = 0.0, False
        while not self._stopping.wait(pause_s):
            try:
                self._follow()
            except (OSError, ModbusException, LineError) as error:
                if not is_lost:
                    _log.warning("%s: no recipe can be requested: %s", self._name, error)
                self._client.close()  # type: ignore[no-untyped-call]
                pause_s, is_lost = next(pauses), True
            else:
                pauses = growing_pauses()
                pause_s, is_lost = self._poll_s, False
        self._client.close()  # type: ignore[no-untyped-call]

    def _follow(self) -> None:
        """Look at the request, and answer."""
        if not self._client.connected and not self._client.connect():  # type: ignore[no-untyped-call]
            raise LineError("no connection; check the PLC, host and port")
        wanted = self._read_request()
        if wanted != self._answered and self._changeover.status.loading is None:
            self._ask(wanted)
        status = self._changeover.status
        is_failed = self._is_refused or status.failure is not None
        state = _LOADING if status.loading is not None else _FAILED if is_failed else _IDLE
        self._write_status([status.active or 0, state, self._answered or 0])

    def _ask(self, wanted: int) -> None:
        is_first, self._answered = self._answered is None, wanted
        self._is_refused = False
        if wanted == 0 or (is_first and wanted == self._changeover.status.active):
            return
        try:
            self._changeover.request(wanted)
        except LineError as error:
            self._is_refused = True
            _log.error("%s: %s", self._name, error)

    def _read_request(self) -> int:
        response = self._client.read_holding_registers(
            self._request_address, count=1, device_id=self._device_id
        )
        if response.isError():
            raise LineError(f"the PLC refuses to read request_address {self._request_address}")
        return int(response.registers[0])

    def _write_status(self, values: list[int]) -> None:
        response = self._client.write_registers(
            self._status_address, values, device_id=self._device_id
        )
        if response.isError():
            raise LineError(f"the PLC refuses to write status_address {self._status_address}")
