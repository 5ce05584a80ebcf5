"""EtherNet/IP: the station writes each verdict to tags of an Allen-Bradley controller.

The block of `edge.line.block` as a tag DINT[15], and a tag DINT for the acknowledge: the sequence
number of the last verdict that the controller took.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Literal

from edge.line.block import BLOCK_WORDS
from edge.line.plc import BlockPlaces, PlcOutput
from edge.peers.addresses import EtherNetIpPeer, Milliseconds, Tag
from edge.peers.ethernet_ip import ethernet_ip_connection
from edge.peers.place_names import tag_name
from inspection.config.claims import Claim


class EtherNetIpConfig(EtherNetIpPeer):
    """Writes to tags; see `edge.line.ethernet_ip`.

    Attributes:
        tag: DINT[15], or longer; with an index: from this element on.
        acknowledge_tag: DINT with the number of the last verdict that the controller took; None: it
            acknowledges nothing.
        hold_ms: least time that a verdict is shown where the controller acknowledges nothing; the
            next one waits for it.
    """

    kind: Literal["ethernet_ip"]
    tag: Tag
    acknowledge_tag: Tag | None = None
    hold_ms: Milliseconds = 200.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the tags."""
        yield from self.tags("tag", BLOCK_WORDS)
        yield from self.tags("acknowledge_tag")

    def driver(self) -> PlcOutput[str]:
        """Returns the output, not yet opened."""
        name = f"ethernet_ip {self.host}:{self.port}"
        acknowledge = self.acknowledge_tag
        return PlcOutput(
            name,
            ethernet_ip_connection(name, self),
            BlockPlaces(
                self.tag, acknowledge, f"the tag {acknowledge}", partial(tag_name, self.tag)
            ),
            hold_ms=self.hold_ms,
            check="host, port, slot, tag and acknowledge_tag",
        )
