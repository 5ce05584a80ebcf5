"""Tags of an Allen-Bradley controller by EtherNet/IP, the station as client.

Explicit messages without a connection (UCMM), each routed to the slot of the controller. Sources:
The CIP Networks Library, volume 2, chapter 2 (encapsulation), and Rockwell Automation's Logix 5000
Controllers Data Access, 1756-PM020 (the services and their errors).

The reason for this file beside pycomm3 and pylogix is in docs/decisions.
"""

from __future__ import annotations

import asyncio
import math
import re
import struct
from collections.abc import Sequence
from typing import NamedTuple

from edge.peers.addresses import EtherNetIpPeer
from edge.peers.exchanges import Exchanges
from edge.peers.plc import PlcConnection, PlcError

_REGISTER_SESSION, _SEND_RR_DATA = 0x65, 0x6F
_HEADER = struct.Struct("<HHII8sI")  # command, length, session, status, context, options
_ITEMS = struct.Struct(
    "<IHHHHHH"
)  # handle, timeout, 2 items: an address without content, a message
_UNCONNECTED_MESSAGE = 0x00B2
_ANSWER_MAX_BYTES = 1024  # a controller answers with 504 bytes at most

_READ_TAG, _WRITE_TAG, _UNCONNECTED_SEND = 0x4C, 0x4D, 0x52
_CONNECTION_MANAGER = bytes.fromhex("20062401")  # class 6, instance 1
_BACKPLANE = 1
_TICK_MS = 32  # the unit of the time limit of a routed message: 2 to the power of 5

_DINT = 0xC4
_STRUCTURE, _STRING = 0x02A0, 0x0FCE
_UNSIGNED = {0xC1: "B", 0xC2: "B", 0xC3: "H", _DINT: "I", 0xC6: "B", 0xC7: "H", 0xC8: "I"}
"""Format of each integer type and of BOOL; a negative value reads as its bits."""

_WORD_MAX = 0xFFFF
_NO_FIT = "the answer of the PLC does not fit the request"
_NAMES_DINT = "it should be DINT"
_REFUSALS = {  # (general status, first word of the extended status; None for any)
    (0x04, None): "there is no such tag",
    (0x05, None): "there is no such tag",
    (0x08, None): "the slot holds no Logix controller; check 'slot'",
    (0x0F, None): "the External Access of the tag does not allow it; it should be Read/Write",
    (0x10, None): "the controller does not allow it in its present mode; check the keyswitch",
    (0xFF, 0x2104): "the tag is too short: {count} elements are needed",
    (0xFF, 0x2105): "the tag is too short: {count} elements are needed",
    (0xFF, 0x2107): f"the tag is of another type; {_NAMES_DINT}",
    (0x01, 0x0204): "no controller answers in the slot; check 'slot'",
    (0x01, 0x0311): "there is no such port on the way to the controller; check 'slot'",
    (0x01, 0x0312): "there is no module in the slot; check 'slot'",
    (0x01, 0x0318): "the slot does not exist; check 'slot'",
}


class _Value(NamedTuple):
    """The content of an answer: its type, and the data behind it."""

    type: int
    data: bytes


class EtherNetIpSession:
    """Tags of a controller: a word is a DINT; see `edge.peers.plc.Session`."""

    def __init__(self, config: EtherNetIpPeer) -> None:
        self._config = config
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._session = 0
        self._requests = 0
        self._exchanges = Exchanges()

    async def connect(self) -> None:
        """Connects, and registers a session."""
        config = self._config
        self._reader, self._writer = await asyncio.open_connection(config.host, config.port)
        self._send(_REGISTER_SESSION, struct.pack("<HH", 1, 0))
        self._session, _ = await self._receive(_REGISTER_SESSION)

    async def read(self, place: str, count: int = 1) -> Sequence[int]:
        """Reads words, from the first element of the tag on."""
        words = await self.read_integers(place, count)
        if any(word > _WORD_MAX for word in words):
            raise PlcError(f"the tag holds {list(words)}; each should be 0 to {_WORD_MAX}")
        return words

    async def read_integers(self, place: str, count: int = 1) -> Sequence[int]:
        """Reads values of any integer type or BOOL, without their signs."""
        answer = await self._ask(place, _READ_TAG, struct.pack("<H", count), count)
        value = _value(answer)
        if value.type not in _UNSIGNED:
            raise PlcError(f"the tag is of another type (0x{value.type:02X}); {_NAMES_DINT}")
        layout = struct.Struct(f"<{count}{_UNSIGNED[value.type]}")
        if len(value.data) != layout.size:
            raise PlcError(_NO_FIT)
        return layout.unpack(value.data)

    async def read_text(self, place: str) -> str:
        """Reads a STRING."""
        value = _value(await self._ask(place, _READ_TAG, struct.pack("<H", 1), 1))
        handle = int.from_bytes(value.data[:2], "little")
        if value.type != _STRUCTURE or handle != _STRING or len(value.data) < 6:
            raise PlcError("the tag is of another type; it should be STRING")
        length = int.from_bytes(value.data[2:6], "little")
        return value.data[6:][:length].decode("latin-1")

    async def write(self, place: str, words: Sequence[int]) -> None:
        """Writes words to the first elements of the tag."""
        await self._ask(place, _WRITE_TAG, _write_data(words), len(words))

    async def post(self, place: str, words: Sequence[int]) -> None:
        """Writes words without waiting for the answer."""
        self._exchanges.give_up()
        if self._writer is not None and not self._writer.is_closing():
            self._send_request(_request(_WRITE_TAG, place, _write_data(words)))
            await self._writer.drain()

    async def close(self) -> None:
        """Disconnects, which ends the session too."""
        if self._writer is not None:
            self._exchanges.part(self._writer.transport, self)

    async def _ask(self, place: str, service: int, data: bytes, count: int) -> bytes:
        """Sends one request; returns the content of its answer."""

        async def exchange() -> bytes:
            self._send_request(_request(service, place, data))
            _, packet = await self._receive(_SEND_RR_DATA)
            return packet

        return _content(await self._exchanges.run(exchange), service, count)

    def _send_request(self, request: bytes) -> None:
        message = request
        if self._config.slot is not None:
            ticks = min(255, math.ceil(self._config.timeout_ms / _TICK_MS))
            message = _routed(request, self._config.slot, ticks)
        items = _ITEMS.pack(0, 0, 2, 0, 0, _UNCONNECTED_MESSAGE, len(message))
        self._send(_SEND_RR_DATA, items + message)

    def _send(self, command: int, data: bytes) -> None:
        if self._writer is None or self._writer.is_closing():
            raise ConnectionError("the connection is lost")
        self._requests += 1
        header = _HEADER.pack(command, len(data), self._session, 0, self._context, 0)
        self._writer.write(header + data)

    @property
    def _context(self) -> bytes:
        """Marks the newest request; the PLC puts it into the answer."""
        return self._requests.to_bytes(8, "little")

    async def _receive(self, command: int) -> tuple[int, bytes]:
        """Returns the session and the data of the answer to `command`."""
        if self._reader is None:
            raise ConnectionError("the connection is lost")
        try:
            header = await self._reader.readexactly(_HEADER.size)
            answered, length, session, status, context, _ = _HEADER.unpack(header)
            if answered != command or length > _ANSWER_MAX_BYTES:
                raise PlcError("the peer does not speak EtherNet/IP")
            if context != self._context:
                raise PlcError(_NO_FIT)
            data = await self._reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the PLC closed the connection") from error
        if status:
            raise PlcError(f"the PLC refuses with EtherNet/IP status 0x{status:02X}")
        return session, data


def ethernet_ip_connection(name: str, config: EtherNetIpPeer) -> PlcConnection[EtherNetIpSession]:
    """Returns a connection, not yet open."""
    return PlcConnection(name, lambda: EtherNetIpSession(config), config.timeout_ms)


def tag_path(tag: str) -> bytes:
    """Returns the symbolic path of a tag such as `Program:Main.Line.Verdict[3]`."""
    path = b""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", tag):
        if index:
            number = int(index)
            path += bytes([0x28, number]) if number < 256 else struct.pack("<HH", 0x29, number)
        else:
            ascii_name = name.encode("ascii")
            path += bytes([0x91, len(ascii_name)]) + ascii_name + b"\0" * (len(ascii_name) % 2)
    return path


def _request(service: int, tag: str, data: bytes) -> bytes:
    path = tag_path(tag)
    return bytes([service, len(path) // 2]) + path + data


def _routed(request: bytes, slot: int, ticks: int) -> bytes:
    """Returns an Unconnected Send, which the module on the network hands to the controller."""
    head = bytes([_UNCONNECTED_SEND, len(_CONNECTION_MANAGER) // 2]) + _CONNECTION_MANAGER
    message = struct.pack("<BBH", 5, ticks, len(request)) + request + b"\0" * (len(request) % 2)
    return head + message + bytes([1, 0, _BACKPLANE, slot])


def _write_data(words: Sequence[int]) -> bytes:
    return struct.pack(f"<HH{len(words)}I", _DINT, len(words), *words)


def _content(packet: bytes, service: int, count: int) -> bytes:
    """Returns the data of an answer behind its status.

    Raises:
        PlcError: the controller, or a module on the way to it, refuses.
    """
    message = packet[_ITEMS.size :]
    if len(message) < 4 or message[0] not in (service | 0x80, _UNCONNECTED_SEND | 0x80):
        raise PlcError(_NO_FIT)
    status, extended_words = message[2], message[3]
    data = message[4 + 2 * extended_words :]
    if status == 0 and message[0] == service | 0x80:
        return data
    extended = int.from_bytes(message[4:6], "little") if extended_words else 0
    refusal = _REFUSALS.get((status, extended)) or _REFUSALS.get((status, None))
    if refusal is not None:
        raise PlcError(refusal.format(count=count))
    raise PlcError(f"the PLC refuses with CIP status 0x{status:02X}, extended 0x{extended:04X}")


def _value(data: bytes) -> _Value:
    if len(data) < 2:
        raise PlcError(_NO_FIT)
    return _Value(int.from_bytes(data[:2], "little"), data[2:])
