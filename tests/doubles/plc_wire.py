"""A wire between the station and a PLC, on which requests wait as in a PLC that is slow."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple


class Framing(NamedTuple):
    """How a protocol tells the end of a message: size of the header, and of the whole."""

    header: int
    size: Callable[[bytes], int]


FRAMINGS = {
    "modbus": Framing(6, lambda head: 6 + int.from_bytes(head[4:6], "big")),
    "s7": Framing(4, lambda head: int.from_bytes(head[2:4], "big")),
    "ethernet_ip": Framing(24, lambda head: 24 + int.from_bytes(head[2:4], "little")),
}


class PlcWire:
    """Hands the requests of a station to a PLC, one after the other, each with its answer.

    Held, it leaves them in the receive buffer, as a PLC that hangs does.

    Args:
        plc_port: of the PLC on loopback.
        takes_one: of the requests that it finds at once it hands over the first one alone, as many
            PLCs do.

    Attributes:
        takes_one: see above.
        ends: how the station ended each connection: "closed" or "reset".
    """

    def __init__(self, kind: str, plc_port: int, *, takes_one: bool = False) -> None:
        self._framing = FRAMINGS[kind]
        self._plc_port = plc_port
        self.takes_one = takes_one
        self.ends: list[str] = []
        self._holds_after = _never
        self._going = threading.Event()
        self._going.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        self._going.clear()

    def hold_after(self, is_reached: Callable[[], bool]) -> None:
        """Holds once the PLC has answered a request that made this true."""
        self._holds_after = is_reached

    def go(self) -> None:
        self._holds_after = _never
        self._going.set()

    def close(self) -> None:
        self.go()
        with suppress(OSError):  # closed before
            self._listener.shutdown(socket.SHUT_RDWR)  # which ends `accept`
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                station, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(station,), daemon=True).start()

    def _serve(self, station: socket.socket) -> None:
        with station, socket.create_connection(("127.0.0.1", self._plc_port)) as plc:
            try:
                for request in self._requests(station):
                    plc.sendall(request)
                    answer = self._answer(plc)
                    if self._holds_after():
                        self.hold()
                    station.sendall(answer)
                self.ends.append("closed")
            except (ConnectionResetError, BrokenPipeError):
                self.ends.append("reset")

    def _requests(self, station: socket.socket) -> Iterator[bytes]:
        while True:
            self._going.wait()
            if not select.select([station], [], [], 0.01)[0] or not self._going.is_set():
                continue
            found = station.recv(1 << 16)
            if not found:
                return
            messages = self._messages(found)
            yield from messages[:1] if self.takes_one else messages

    def _messages(self, data: bytes) -> list[bytes]:
        messages = []
        while data:
            size = self._framing.size(data)
            messages.append(data[:size])
            data = data[size:]
        return messages

    def _answer(self, plc: socket.socket) -> bytes:
        head = plc.recv(self._framing.header, socket.MSG_WAITALL)
        rest = plc.recv(self._framing.size(head) - len(head), socket.MSG_WAITALL)
        return head + rest


def _never() -> bool:
    return False
