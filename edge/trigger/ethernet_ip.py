"""A tag of an Allen-Bradley controller, which the station polls; see `edge.trigger.plc`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from edge.encoder import Encoder
from edge.peers.addresses import EtherNetIpPeer, Tag
from edge.peers.ethernet_ip import EtherNetIpSession, ethernet_ip_connection
from edge.peers.plc import Plc
from edge.trigger.base import FiredConfig
from edge.trigger.plc import PlcTrigger, PollMilliseconds, Reading
from inspection.config.claims import Claim


class EtherNetIpTriggerConfig(FiredConfig, EtherNetIpPeer):
    """Polls a tag; see `edge.trigger.ethernet_ip`.

    Attributes:
        tag: BOOL, SINT, INT or DINT.
        part_id_tag: STRING with the part id; None: the controller gives no part id.
        poll_ms: time between two reads; the controller must hold each value several times as long.
    """

    kind: Literal["ethernet_ip"]
    tag: Tag
    part_id_tag: Tag | None = None
    poll_ms: PollMilliseconds = 5.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the tags."""
        yield from self.tags("tag")
        yield from self.tags("part_id_tag")

    def driver(self, _encoder: Encoder | None) -> PlcTrigger[EtherNetIpSession]:
        """Returns the trigger, not yet opened."""
        name = f"ethernet_ip trigger {self.host}:{self.port}"
        return PlcTrigger(
            Plc(name, ethernet_ip_connection(name, self), "host, port, slot and the tags"),
            poll_ms=self.poll_ms,
            value=Reading(f"tag {self.tag}", self._read_value),
            part_id=self._part_id,
        )

    async def _read_value(self, session: EtherNetIpSession) -> int:
        return (await session.read_integers(self.tag))[0]

    @property
    def _part_id(self) -> Reading | None:
        tag = self.part_id_tag
        return None if tag is None else Reading(f"tag {tag}", lambda one: one.read_text(tag))
