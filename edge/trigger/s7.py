"""A word or bit of a data block of a Siemens S7 PLC, which the station polls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from edge.encoder import Encoder
from edge.peers.addresses import DbByte, DbNumber, S7Peer
from edge.peers.plc import Plc
from edge.peers.s7 import INSTALL, DbPlace, S7Session, s7_connection
from edge.trigger.base import PART_ID_MAX, FiredConfig
from edge.trigger.plc import PlcTrigger, PollMilliseconds, Reading
from inspection.config.claims import Claim
from inspection.config.plugins import require
from inspection.errors import LineError


class S7TriggerConfig(FiredConfig, S7Peer):
    """Polls a data block; see `edge.trigger.s7`.

    Attributes:
        db: number of the data block.
        byte: of the trigger.
        bit: of that byte; None: the trigger is the word that begins at the byte.
        part_id_byte: where a STRING with the part id begins; None: the PLC gives no part id.
        part_id_length: the greatest length of that STRING, as it is declared: STRING[32].
        poll_ms: time between two reads; the PLC must hold each value several times as long.
    """

    kind: Literal["s7"]
    db: DbNumber
    byte: DbByte
    bit: Annotated[int, Field(ge=0, le=7)] | None = None
    part_id_byte: DbByte | None = None
    part_id_length: Annotated[int, Field(ge=1, le=PART_ID_MAX)] = 32
    poll_ms: PollMilliseconds = 5.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the trigger and to the part id."""
        yield from self.data("byte", self.db, 2, self.bit)
        yield from self.data("part_id_byte", self.db, 2 + self.part_id_length)

    def driver(self, _encoder: Encoder | None) -> PlcTrigger[S7Session]:
        """Returns the trigger, not yet opened; raises LineError without the package."""
        require("trigger 's7'", "snap7", INSTALL, LineError)
        name = f"s7 trigger {self.host}:{self.port}"
        return PlcTrigger(
            Plc(name, s7_connection(name, self), "host, port, rack, slot, db and the bytes"),
            poll_ms=self.poll_ms,
            value=Reading(str(DbPlace(self.db, self.byte)), self._read_value),
            part_id=self._part_id,
        )

    async def _read_value(self, session: S7Session) -> int:
        place = DbPlace(self.db, self.byte)
        if self.bit is not None:
            return int(await session.read_bit(place, self.bit))
        return (await session.read(place))[0]

    @property
    def _part_id(self) -> Reading | None:
        if self.part_id_byte is None:
            return None
        place = DbPlace(self.db, self.part_id_byte)
        return Reading(str(place), lambda session: session.read_text(place, self.part_id_length))
