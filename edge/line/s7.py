"""Siemens S7: the station writes each verdict to a data block of the PLC.

The block of `edge.line.block` as 15 words, high byte first, and one word for the acknowledge: the
sequence number of the last verdict that the PLC took. `edge.peers.s7` names the settings that this
needs in the PLC.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Literal

from edge.line.block import BLOCK_WORDS
from edge.line.plc import BlockPlaces, PlcOutput
from edge.peers.addresses import DbByte, DbNumber, Milliseconds, S7Peer
from edge.peers.place_names import db_name
from edge.peers.s7 import INSTALL, DbPlace, s7_connection
from inspection.config.claims import Claim
from inspection.config.plugins import require
from inspection.errors import LineError


class S7Config(S7Peer):
    """Writes to a data block; see `edge.line.s7`.

    Attributes:
        db: number of the data block.
        start_byte: where the block of 30 bytes begins.
        acknowledge_byte: of the word with the number of the last verdict that the PLC took; None:
            the PLC acknowledges nothing.
        hold_ms: least time that a verdict is shown where the PLC acknowledges nothing; the next
            one waits for it.
    """

    kind: Literal["s7"]
    db: DbNumber
    start_byte: DbByte = 0
    acknowledge_byte: DbByte | None = None
    hold_ms: Milliseconds = 200.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the bytes of the block and of the acknowledge."""
        yield from self.data("start_byte", self.db, 2 * BLOCK_WORDS)
        yield from self.data("acknowledge_byte", self.db, 2)

    def driver(self) -> PlcOutput[DbPlace]:
        """Returns the output, not yet opened; raises LineError without the package."""
        require("output 's7'", "snap7", INSTALL, LineError)
        name = f"s7 {self.host}:{self.port}"
        acknowledge = None
        if self.acknowledge_byte is not None:
            acknowledge = DbPlace(self.db, self.acknowledge_byte)
        return PlcOutput(
            name,
            s7_connection(name, self),
            BlockPlaces(
                DbPlace(self.db, self.start_byte),
                acknowledge,
                str(acknowledge),
                partial(db_name, DbPlace(self.db, self.start_byte)),
            ),
            hold_ms=self.hold_ms,
            check="host, port, rack, slot, db, start_byte and acknowledge_byte",
        )
