"""An Allen-Bradley controller requests recipes, in tags; see `edge.recipe.request.plc`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from edge.peers.addresses import EtherNetIpPeer, Tag
from edge.peers.ethernet_ip import ethernet_ip_connection
from edge.peers.place_names import tag_name
from edge.peers.plc import Plc
from edge.recipe.request.base import PollMilliseconds
from edge.recipe.request.plc import STATUS_WORDS, Addresses, PlcRequests
from inspection.config.claims import Claim


class EtherNetIpRecipeRequestConfig(EtherNetIpPeer):
    """Tags of a controller; see `edge.recipe.request.plc`.

    Attributes:
        request_tag: DINT with the number that the controller wants.
        status_tag: DINT[3] that the station writes.
    """

    kind: Literal["ethernet_ip"]
    request_tag: Tag
    status_tag: Tag
    poll_ms: PollMilliseconds = 100.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the tags."""
        yield from self.tags("request_tag")
        yield from self.tags("status_tag", STATUS_WORDS)

    def driver(self, name: str) -> PlcRequests[str]:
        """Returns the source of requests, not yet opened."""
        plc = Plc(name, ethernet_ip_connection(name, self), "host, port, slot and the tags")
        request, status = self.request_tag, self.status_tag
        addresses = Addresses.of(tag_name, request, status)
        return PlcRequests(plc, request=request, status=status, addresses=addresses)
