"""A Logix controller: an EtherNet/IP server with the tags that it is given.

It answers explicit messages with and without a connection, so that a client of another make can say
whether it is one: Rockwell Automation's 1756-PM020 and The CIP Networks Library, volumes 1 and 2.
"""

from __future__ import annotations

import asyncio
import re
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.peers.loop_thread import LoopThread
from edge.sim.base import LOOPBACK, cannot_listen

BOOL, SINT, INT, DINT, STRING = 0xC1, 0xC2, 0xC3, 0xC4, 0x0FCE
FORMATS = {BOOL: "B", SINT: "b", INT: "h", DINT: "i"}
HEADER = struct.Struct("<HHII8sI")
STRING_BYTES = 88
CONNECTING = {  # Forward Open, Large Forward Open and Forward Close, with their answers
    0x54: struct.pack("<II", 7, 8) + bytes(18),
    0x5B: struct.pack("<II", 7, 8) + bytes(18),
    0x4E: bytes(10),
}

Refusal = tuple[int, bytes]
OK: Refusal = (0, b"")
NO_TAG: Refusal = (0x04, b"\0\0")
TOO_LONG: Refusal = (0xFF, b"\x05\x21")
OTHER_TYPE: Refusal = (0xFF, b"\x07\x21")
NO_SERVICE: Refusal = (0x08, b"")
NO_MODULE: Refusal = (0x01, b"\x12\x03")


@dataclass
class Tag:
    """A tag: its values as signed numbers, or the text of a STRING."""

    type: int
    values: list[int] = field(default_factory=list)
    text: str = ""

    def data(self, first: int, count: int) -> bytes:
        """Returns the type and `count` values from `first` on, as an answer has them."""
        if self.type == STRING:
            text = struct.pack("<I", len(self.text)) + self.text.encode("latin-1")
            return struct.pack("<HH", 0x02A0, STRING) + text.ljust(STRING_BYTES, b"\0")
        layout = f"<H{count}{FORMATS[self.type]}"
        return struct.pack(layout, self.type, *self.values[first : first + count])


class Logix:
    """Serves tags; `on_write` is called with the name of each tag after a write.

    Attributes:
        running: cleared, it keeps the requests and works them off once it is set.
        answer: makes the answer of a request; may be replaced, by nonsense for instance.

    Raises:
        LineError: the port cannot be opened.
    """

    def __init__(
        self, port: int, tags: dict[str, Tag], slot: int | None = 0, *, host: str = LOOPBACK
    ) -> None:
        self.port = port
        self.tags = tags
        self.slot = slot
        self.running = threading.Event()
        self.running.set()
        self.on_write: Callable[[str], None] = lambda _tag: None
        self.answer: Callable[[bytes, bytes], bytes | None] = self._answer
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = LoopThread("logix")
        try:
            self._server = self._loop.run(asyncio.start_server(self._serve, host, port), 10.0)
        except OSError as error:
            self._loop.stop()
            raise cannot_listen("the simulated Logix controller", host, port, error) from error

    def close(self) -> None:
        """Ends the server with its connections."""
        self.running.set()
        self._loop.run(self._stop(), 10.0)
        self._loop.stop()

    async def _stop(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                header = await reader.readexactly(HEADER.size)
                data = await reader.readexactly(HEADER.unpack(header)[1])
                while not self.running.is_set():
                    await asyncio.sleep(0.005)
                answer = self.answer(header, data)
                if answer is None:
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, OSError):
            pass  # the station has gone
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, header: bytes, data: bytes) -> bytes | None:
        command, _, session, _, context, _ = HEADER.unpack(header)
        if command == 0x66:
            return None
        if command == 0x65:
            session = 0x1234
        elif command == 0x6F:
            message = self._message(data[16:])
            data = data[:14] + struct.pack("<H", len(message)) + message
        elif command == 0x70:
            message = data[20:22] + self._message(data[22:])
            data = data[:18] + struct.pack("<H", len(message)) + message
        return HEADER.pack(command, len(data), session, 0, context, 0) + data

    def _message(self, message: bytes) -> bytes:
        service, words = message[0], message[1]
        path, data = message[2 : 2 + 2 * words], message[2 + 2 * words :]
        if service in CONNECTING:
            return bytes([service | 0x80, 0, 0, 0]) + CONNECTING[service]
        if service == 0x52:
            size = int.from_bytes(data[2:4], "little")
            is_here = data[-1] == self.slot
            return self._message(data[4 : 4 + size]) if is_here else _refused(0xD2, NO_MODULE)
        name, first = _tag_from_path(path)
        tag = self.tags.get(name)
        if tag is None:
            return _refused(service | 0x80, NO_TAG)
        if service == 0x4C:
            return self._read(tag, first, int.from_bytes(data[:2], "little"))
        if service == 0x4D:
            return self._write(name, tag, first, data)
        return _refused(service | 0x80, NO_SERVICE)

    def _read(self, tag: Tag, first: int, count: int) -> bytes:
        if first + count > max(len(tag.values), 1):
            return _refused(0xCC, TOO_LONG)
        return bytes([0xCC, 0, 0, 0]) + tag.data(first, count)

    def _write(self, name: str, tag: Tag, first: int, data: bytes) -> bytes:
        kind, count = struct.unpack_from("<HH", data)
        if kind != tag.type:
            return _refused(0xCD, OTHER_TYPE)
        if first + count > len(tag.values):
            return _refused(0xCD, TOO_LONG)
        tag.values[first : first + count] = struct.unpack_from(f"<{count}{FORMATS[kind]}", data, 4)
        self.on_write(name)
        return _refused(0xCD, OK)


def _refused(reply: int, refusal: Refusal) -> bytes:
    status, extended = refusal
    return bytes([reply, 0, status, len(extended) // 2]) + extended


def _tag_from_path(path: bytes) -> tuple[str, int]:
    """Returns the name of a tag, and the index at its end."""
    parts, at = [], 0
    while at < len(path):
        if path[at] == 0x91:
            size = path[at + 1]
            parts.append("." + path[at + 2 : at + 2 + size].decode())
            at += 2 + size + size % 2
        elif path[at] == 0x28:
            parts.append(f"[{path[at + 1]}]")
            at += 2
        else:
            parts.append(f"[{int.from_bytes(path[at + 2 : at + 4], 'little')}]")
            at += 4
    found = re.fullmatch(r"\.(.*?)(?:\[(\d+)\])?", "".join(parts))
    return (found[1], int(found[2] or 0)) if found else ("", 0)
