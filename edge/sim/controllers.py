"""PLCs of other makes that the station writes to and reads from: Siemens S7 and Allen-Bradley."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge.line import EtherNetIpConfig, S7Config
from edge.line.block import BLOCK_WORDS
from edge.peers.addresses import EtherNetIpPeer, S7Peer
from edge.recipe.request.ethernet_ip import EtherNetIpRecipeRequestConfig
from edge.recipe.request.s7 import S7RecipeRequestConfig
from edge.sim.base import LOOPBACK
from edge.sim.counting import CountingPlc
from edge.sim.logix import DINT, STRING, Logix, Tag
from edge.trigger.ethernet_ip import EtherNetIpTriggerConfig
from edge.trigger.s7 import S7TriggerConfig
from inspection.config.plugins import Sdk, require
from inspection.errors import LineError

if TYPE_CHECKING:
    from edge.sim import s7
else:
    s7 = Sdk("edge.sim.s7")  # with a class of snap7 as base

_INSTALL = "pip install 'linewarden[s7]'"
_DATA_BYTES = 1 << 16  # of a data block, as many as the controllers have
_LOW_S = 0.05  # that a bit is low before it rises: several polls of the station
_STATUS_WORDS = 3
_NO_TRIGGER = "the line has no trigger in the simulated {}"
_NO_REQUEST = "the line takes no recipe requests from the simulated {}"


class S7Plc(CountingPlc):
    """A Siemens controller on loopback, with the data blocks that a line uses.

    Args:
        uses: outputs, triggers and recipe requests of the line at this controller; at least one.

    Raises:
        LineError: the package is not installed, or the port cannot be opened.
    """

    def __init__(
        self,
        port: int,
        uses: Sequence[S7Peer],
        *,
        host: str = LOOPBACK,
        acknowledges: bool = True,
    ) -> None:
        super().__init__(f"S7 {host}:{port}", port, acknowledges=acknowledges)
        require("the simulated S7 controller", "snap7", _INSTALL, LineError)
        self._output = next((one for one in uses if isinstance(one, S7Config)), None)
        self._trigger = next((one for one in uses if isinstance(one, S7TriggerConfig)), None)
        self._request = next((one for one in uses if isinstance(one, S7RecipeRequestConfig)), None)
        named = (S7Config, S7TriggerConfig, S7RecipeRequestConfig)
        numbers = {one.db for one in uses if isinstance(one, named)}
        self._blocks = {number: bytearray(_DATA_BYTES) for number in numbers}
        self._announced = 0
        self._controller = s7.S7Controller(
            port, self._blocks, host=host, rack=uses[0].rack, slot=uses[0].slot
        )
        self._controller.running = self.running
        self._controller.on_write = self._on_write

    def announce(self, part_id: str = "") -> None:
        """Implements `CountingPlc.announce`, by the word or bit of the trigger."""
        trigger = self._trigger
        if trigger is None:
            raise LineError(_NO_TRIGGER.format("S7 controller"))
        data, at = self._blocks[trigger.db], trigger.byte
        if trigger.part_id_byte is not None:
            text = part_id.encode("ascii", "replace")[: trigger.part_id_length]
            first, whole = trigger.part_id_byte, bytes([trigger.part_id_length, len(text)]) + text
            data[first : first + len(whole)] = whole
        self._announced = self._announced % 0xFFFF + 1
        if trigger.bit is None:
            data[at : at + 2] = self._announced.to_bytes(2, "big")
        else:
            data[at] &= ~(1 << trigger.bit) & 0xFF
            time.sleep(_LOW_S)
            data[at] |= 1 << trigger.bit

    def request_recipe(self, number: int) -> None:
        """Implements `CountingPlc.request_recipe`."""
        request = self._request
        if request is None:
            raise LineError(_NO_REQUEST.format("S7 controller"))
        at = request.request_byte
        self._blocks[request.db][at : at + 2] = number.to_bytes(2, "big")

    def close(self) -> None:
        """Implements `Machine.close`."""
        super().close()
        self._controller.close()

    def _on_write(self, db: int, first: int, size: int) -> None:
        output = self._output
        if output is None or (db, first, size) != (output.db, output.start_byte, 2 * BLOCK_WORDS):
            return
        data = self._blocks[db]
        words = [int.from_bytes(data[at : at + 2], "big") for at in range(first, first + size, 2)]
        number, at = self.take(words), output.acknowledge_byte
        if number is not None and at is not None:
            data[at : at + 2] = number.to_bytes(2, "big")


class LogixPlc(CountingPlc):
    """An Allen-Bradley controller on loopback, with the tags that a line uses.

    Args:
        uses: outputs, triggers and recipe requests of the line at this controller; at least one.

    Raises:
        LineError: the port cannot be opened.
    """

    def __init__(
        self,
        port: int,
        uses: Sequence[EtherNetIpPeer],
        *,
        host: str = LOOPBACK,
        acknowledges: bool = True,
    ) -> None:
        super().__init__(f"Logix {host}:{port}", port, acknowledges=acknowledges)
        self._output = next((one for one in uses if isinstance(one, EtherNetIpConfig)), None)
        self._trigger = next(
            (one for one in uses if isinstance(one, EtherNetIpTriggerConfig)), None
        )
        self._request = next(
            (one for one in uses if isinstance(one, EtherNetIpRecipeRequestConfig)), None
        )
        self._tags: dict[str, Tag] = {}
        for one in uses:
            self._declare(one)
        self._announced = 0
        self._controller = Logix(port, self._tags, uses[0].slot, host=host)
        self._controller.running = self.running
        self._controller.on_write = self._on_write

    def announce(self, part_id: str = "") -> None:
        """Implements `CountingPlc.announce`, by the tag of the trigger."""
        if self._trigger is None:
            raise LineError(_NO_TRIGGER.format("Logix controller"))
        if self._trigger.part_id_tag is not None:
            self._tags[_element(self._trigger.part_id_tag)[0]].text = part_id
        self._announced += 1
        name, at = _element(self._trigger.tag)
        self._tags[name].values[at] = self._announced

    def request_recipe(self, number: int) -> None:
        """Implements `CountingPlc.request_recipe`."""
        if self._request is None:
            raise LineError(_NO_REQUEST.format("Logix controller"))
        name, at = _element(self._request.request_tag)
        self._tags[name].values[at] = number

    def close(self) -> None:
        """Implements `Machine.close`."""
        super().close()
        self._controller.close()

    def _declare(self, use: EtherNetIpPeer) -> None:
        counts: dict[str | None, int] = {}
        if isinstance(use, EtherNetIpConfig):
            counts = {use.tag: BLOCK_WORDS, use.acknowledge_tag: 1}
        elif isinstance(use, EtherNetIpTriggerConfig):
            counts = {use.tag: 1}
            if use.part_id_tag is not None:
                self._tags[_element(use.part_id_tag)[0]] = Tag(STRING)
        elif isinstance(use, EtherNetIpRecipeRequestConfig):
            counts = {use.request_tag: 1, use.status_tag: _STATUS_WORDS}
        for tag, count in counts.items():
            if tag is not None:
                name, first = _element(tag)
                values = self._tags.setdefault(name, Tag(DINT)).values
                values += [0] * (first + count - len(values))

    def _on_write(self, written: str) -> None:
        output = self._output
        if output is None:
            return
        name, first = _element(output.tag)
        if written != name:
            return
        number = self.take(self._tags[name].values[first : first + BLOCK_WORDS])
        if number is not None and output.acknowledge_tag is not None:
            acknowledge, at = _element(output.acknowledge_tag)
            self._tags[acknowledge].values[at] = number


def _element(tag: str) -> tuple[str, int]:
    """Returns the name of a tag, and the index at its end."""
    found = re.fullmatch(r"(.*?)(?:\[(\d+)\])?", tag)
    assert found is not None  # noqa: S101 - the expression takes every text
    return found[1], int(found[2] or 0)
