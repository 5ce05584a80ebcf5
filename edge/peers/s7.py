"""Data blocks of a Siemens S7 controller, the station as client (PUT and GET over ISO on TCP).

The controller must permit access with PUT/GET, and the data block must have the standard layout:
with optimised block access, bytes have no addresses. S7-300 and S7-400 always permit both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from edge.peers.addresses import S7Peer
from edge.peers.exchanges import Exchanges
from edge.peers.plc import PlcConnection, PlcError
from inspection.config.plugins import Sdk

if TYPE_CHECKING:
    import snap7
    from snap7 import datatypes
    from snap7 import error as errors
else:
    snap7, datatypes, errors = Sdk("snap7"), Sdk("snap7.datatypes"), Sdk("snap7.error")

INSTALL = "pip install 'linewarden[s7]'"

T = TypeVar("T")

_STRING_HEADER = 2  # the greatest and the present length of a STRING, one byte each
_RETURN_CODE = re.compile(r"\(0x([0-9a-f]{2})\)$")
_NOT_PERMITTED = 0x8104
_OPTIMISED = "switch off 'Optimized block access' in its attributes"
_REFUSALS = {  # item return codes of S7
    0x03: "the PLC does not allow the access; take off the write protection of the data block, and "
    f"permit access with PUT/GET in the protection settings of the CPU ({_OPTIMISED})",
    0x05: f"the data block is too short; make it longer ({_OPTIMISED})",
    0x0A: f"there is no such data block with addresses; make it, and {_OPTIMISED}",
}


class DbPlace(NamedTuple):
    """A byte of a data block."""

    db: int
    byte: int

    def __str__(self) -> str:
        """Names it as the tools of Siemens do."""
        return f"DB{self.db}.DBB{self.byte}"


class S7Session:
    """Words of the data blocks of a PLC, high byte first; see `edge.peers.plc.Session`."""

    def __init__(self, config: S7Peer) -> None:
        self._config = config
        self._client = snap7.AsyncClient()
        self._exchanges = Exchanges()

    async def connect(self) -> None:
        """Connects, and agrees on the size of a message."""
        config = self._config
        await _answer(
            self._client.connect(config.host, config.rack, config.slot, tcp_port=config.port)
        )
        if self._client.connection is not None:
            # The caller has the limit; a request that it gave up waits on for its answer.
            self._client.connection.timeout = 3 * config.timeout_ms / 1e3

    async def read(self, place: DbPlace, count: int = 1) -> Sequence[int]:
        """Reads words."""
        data = await self._read_bytes(place, 2 * count)
        return [int.from_bytes(data[at : at + 2], "big") for at in range(0, 2 * count, 2)]

    async def read_bit(self, place: DbPlace, bit: int) -> bool:
        """Reads one bit, 0 to 7."""
        (byte,) = await self._read_bytes(place, 1)
        return bool(byte >> bit & 1)

    async def read_text(self, place: DbPlace, length: int) -> str:
        """Reads a STRING of `length` characters at most."""
        data = await self._read_bytes(place, _STRING_HEADER + length)
        text = data[_STRING_HEADER:][: min(data[1], length)]
        return text.decode("latin-1")

    async def write(self, place: DbPlace, words: Sequence[int]) -> None:
        """Writes words."""
        data = _bytes_from_words(words)
        await self._ask(lambda: self._client.db_write(place.db, place.byte, data))

    async def post(self, place: DbPlace, words: Sequence[int]) -> None:
        """Writes words without waiting for the answer."""
        self._exchanges.give_up()
        connection = self._client.connection
        if connection is None or not connection.connected:
            return
        request = self._client.protocol.build_write_request(
            area=datatypes.S7Area.DB,
            db_number=place.db,
            start=place.byte,
            word_len=datatypes.S7WordLen.BYTE,
            data=bytes(_bytes_from_words(words)),
        )
        await _answer(connection.send_data(request))

    async def close(self) -> None:
        """Disconnects."""
        connection = self._client.connection
        if connection is not None and connection._writer is not None:  # it offers no half close
            self._exchanges.part(connection._writer.transport, self)
            connection.connected = False

    async def _read_bytes(self, place: DbPlace, size: int) -> bytes:
        return bytes(await self._ask(lambda: self._client.db_read(place.db, place.byte, size)))

    async def _ask(self, request: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await _answer(self._exchanges.run(request))


def s7_connection(name: str, config: S7Peer) -> PlcConnection[S7Session]:
    """Returns a connection, not yet open."""
    return PlcConnection(name, lambda: S7Session(config), config.timeout_ms)


async def _answer(request: Coroutine[Any, Any, T]) -> T:
    try:
        return await request
    except errors.S7ConnectionError as error:
        raise ConnectionError(str(error)) from error
    except errors.S7Error as error:
        raise PlcError(refusal(error)) from error


def refusal(error: errors.S7Error) -> str:
    """Returns what the PLC refuses and how to permit it; python-snap7's words for other errors."""
    if error.error_code == _NOT_PERMITTED:
        return (
            "the PLC does not permit access with PUT/GET; permit it in the protection settings of "
            f"the CPU, and {_OPTIMISED}"
        )
    code = _RETURN_CODE.search(str(error))  # of one item: python-snap7 has it in the text alone
    return _REFUSALS.get(int(code[1], 16), str(error)) if code else str(error)


def _bytes_from_words(words: Sequence[int]) -> bytearray:
    return bytearray(b"".join(word.to_bytes(2, "big") for word in words))
