"""A Siemens S7 PLC requests recipes, in a data block; see `edge.recipe.request.plc`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from edge.peers.addresses import DbByte, DbNumber, S7Peer
from edge.peers.place_names import db_name
from edge.peers.plc import Plc
from edge.peers.s7 import INSTALL, DbPlace, s7_connection
from edge.recipe.request.base import PollMilliseconds
from edge.recipe.request.plc import STATUS_WORDS, Addresses, PlcRequests
from inspection.config.claims import Claim
from inspection.config.plugins import require
from inspection.errors import LineError


class S7RecipeRequestConfig(S7Peer):
    """Words of a data block; see `edge.recipe.request.plc`.

    Attributes:
        db: number of the data block.
        request_byte: of the word with the number that the PLC wants.
        status_byte: of the first of three words that the station writes.
    """

    kind: Literal["s7"]
    db: DbNumber
    request_byte: DbByte
    status_byte: DbByte
    poll_ms: PollMilliseconds = 100.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the request and to the answer."""
        yield from self.data("request_byte", self.db, 2)
        yield from self.data("status_byte", self.db, 2 * STATUS_WORDS)

    def driver(self, name: str) -> PlcRequests[DbPlace]:
        """Returns the source of requests, not yet opened; raises LineError without the package."""
        require("recipe request 's7'", "snap7", INSTALL, LineError)
        plc = Plc(name, s7_connection(name, self), "host, port, rack, slot, db and the bytes")
        request, status = DbPlace(self.db, self.request_byte), DbPlace(self.db, self.status_byte)
        addresses = Addresses.of(db_name, request, status)
        return PlcRequests(plc, request=request, status=status, addresses=addresses)
