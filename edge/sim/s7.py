"""A Siemens S7 controller: the server of python-snap7, with data blocks.

The server of python-snap7 takes clients of every rack and slot; this one refuses those of others.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from snap7.error import S7Error
from snap7.server import Server
from snap7.type import SrvArea

from edge.sim.base import LOOPBACK, cannot_listen

_CALLED_TSAP = bytes.fromhex("c202")  # a parameter of two bytes: connection type, rack and slot


class S7Controller:
    """Serves data blocks; `on_write` is called with block, first byte and size of each write.

    Attributes:
        blocks: number -> content; the owner reads and writes it.
        running: cleared, it keeps the requests and works them off once it is set.
        refusal: error class and code of every answer, as a CPU that does not permit PUT/GET; 0:
            none.

    Raises:
        LineError: the port cannot be opened.
    """

    def __init__(
        self,
        port: int,
        blocks: dict[int, bytearray],
        *,
        host: str = LOOPBACK,
        rack: int = 0,
        slot: int = 1,
    ) -> None:
        self.port = port
        self.blocks = blocks
        self.place = bytes([1, rack << 5 | slot])  # 1: the connection of a programming device
        self.running = threading.Event()
        self.running.set()
        self.refusal = 0
        self.on_write: Callable[[int, int, int], None] = lambda _db, _first, _size: None
        self._server = _Server(self)
        for number, content in blocks.items():
            self._server.register_area(SrvArea.DB, number, content)
        try:
            self._server.start_to(host, port)
        except (OSError, S7Error) as error:
            raise cannot_listen("the simulated S7 controller", host, port, error) from error

    def close(self) -> None:
        """Ends the server with its connections."""
        self.running.set()
        self._server.cut()
        self._server.stop()


class _Server(Server):
    """The server of the library, whose requests a controller sees first."""

    def __init__(self, controller: S7Controller) -> None:
        super().__init__(log=False)
        self._controller = controller
        self._sockets: list[Any] = []

    def cut(self) -> None:
        """Ends the connections, which `stop` waits for."""
        for connection in self._sockets:
            connection.close()

    def _handle_client(self, client_socket: Any, address: Any) -> None:
        self._sockets.append(client_socket)
        request = client_socket.recv(64, socket.MSG_PEEK)
        if _CALLED_TSAP + self._controller.place not in request:
            client_socket.close()
            return
        super()._handle_client(client_socket, address)

    def _process_request(self, request_data: bytes, client_address: Any) -> bytes | None:
        self._controller.running.wait()
        if self._controller.refusal and request_data[10] != 0xF0:  # not while it connects
            request = self._parse_request(request_data)
            return self._build_error_response(request, self._controller.refusal)
        return super()._process_request(request_data, client_address)

    def _write_to_memory_area(
        self, area: Any, db_number: int, start: int, write_data: bytearray
    ) -> bool:
        is_written = super()._write_to_memory_area(area, db_number, start, write_data)
        if is_written:
            self._controller.on_write(db_number, start, len(write_data))
        return is_written
