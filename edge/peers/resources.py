"""Things of the network that have one user: ports, words of a PLC, names at an MQTT broker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from inspection.config.resources import Named

Table = Literal["holding register", "input register", "coil"]

LAST_REGISTER = 65535

_HERE = "this device"
_DIRECT = (0, 255)  # either addresses the server itself; MODBUS Messaging on TCP/IP V1.0b, 4.4.2


@dataclass(frozen=True)
class ListeningPort:
    """A TCP port of this device on which the line listens.

    Attributes:
        host: address of an interface; 0.0.0.0 and :: stand for all of them.
        port: 0 takes any free one.
    """

    host: str
    port: int

    @property
    def advice(self) -> str:
        """Asks for another port."""
        return "give each a port of its own"

    def meets(self, other: object) -> bool:
        """Returns True for the same port on the same interface."""
        return (
            isinstance(other, ListeningPort)
            and self.port == other.port != 0
            and (
                _is_everywhere(self.host)
                or _is_everywhere(other.host)
                or machine(self.host) == machine(other.host)
            )
        )

    def __str__(self) -> str:
        return f"port {self.port} on {self.host}"


@dataclass(frozen=True)
class RegisterRange:
    """Consecutive registers or coils of a Modbus server.

    Attributes:
        host, port, device_id: address of the server.
        first: address of the first one, counted from 0.
    """

    host: str
    port: int
    device_id: int
    table: Table
    first: int
    count: int = 1

    @property
    def advice(self) -> str:
        """Asks for other registers."""
        return f"give each {self.table}s of its own"

    @property
    def last(self) -> int:
        """Address of the last one."""
        return self.first + self.count - 1

    @property
    def name(self) -> str:
        """The registers, without their server."""
        if self.count == 1:
            return f"{self.table} {self.first}"
        return f"{self.table}s {self.first} to {self.last}"

    def meets(self, other: object) -> bool:
        """Returns True where both have a register of the same table."""
        return (
            isinstance(other, RegisterRange)
            and self._table == other._table
            and self.first <= other.last
            and other.first <= self.last
        )

    @property
    def _table(self) -> tuple[str, int, int, Table]:
        device_id = 0 if self.device_id in _DIRECT else self.device_id
        return machine(self.host), self.port, device_id, self.table

    def __str__(self) -> str:
        return f"{self.name} of {self.host}:{self.port}, device_id {self.device_id}"


@dataclass(frozen=True)
class DataBlockRange:
    """Consecutive bits of a data block of an S7 controller.

    Attributes:
        host, port, rack, slot: address of the controller.
        first, count: in bits.
    """

    host: str
    port: int
    rack: int
    slot: int
    db: int
    first: int
    count: int

    @property
    def advice(self) -> str:
        """Asks for other bytes."""
        return "give each bytes of its own"

    def meets(self, other: object) -> bool:
        """Returns True where both have a bit of the same data block."""
        return (
            isinstance(other, DataBlockRange)
            and self._block == other._block
            and self.first < other.first + other.count
            and other.first < self.first + self.count
        )

    @property
    def _block(self) -> tuple[str, int, int, int, int]:
        return machine(self.host), self.port, self.rack, self.slot, self.db

    def __str__(self) -> str:
        first, last = self.first // 8, (self.first + self.count - 1) // 8
        if self.count == 1:
            place = f"bit {first}.{self.first % 8}"
        else:
            place = f"byte {first}" if first == last else f"bytes {first} to {last}"
        where = f"{self.host}:{self.port}, rack {self.rack}, slot {self.slot}"
        return f"{place} of DB{self.db} of {where}"


@dataclass(frozen=True)
class TagRange:
    """A tag of a Logix controller, or consecutive elements of it.

    Attributes:
        host, port, slot: address of the controller.
        tag: with the index of the first element; without an index from the first one on.
        count: of elements.
    """

    host: str
    port: int
    slot: int | None
    tag: str
    count: int = 1

    @property
    def advice(self) -> str:
        """Asks for another tag."""
        return "give each a tag of its own"

    def meets(self, other: object) -> bool:
        """Returns True for common elements, and where one tag is a part of the other."""
        if not isinstance(other, TagRange) or self._controller != other._controller:
            return False
        (mine, first), (theirs, others_first) = self._elements, other._elements
        if mine == theirs:
            return first < others_first + other.count and others_first < first + self.count
        return _is_part(theirs, self.tag) or _is_part(mine, other.tag)

    @property
    def _controller(self) -> tuple[str, int, int | None]:
        return machine(self.host), self.port, self.slot

    @property
    def _elements(self) -> tuple[str, int]:
        """The array and the first element; Logix does not tell upper from lower case."""
        found = re.fullmatch(r"(.*)\[(\d+)\]", self.tag)
        array, first = (found[1], int(found[2])) if found else (self.tag, 0)
        return array.lower(), first

    def __str__(self) -> str:
        elements = "" if self.count == 1 else f" ({self.count} elements)"
        slot = "" if self.slot is None else f", slot {self.slot}"
        return f"the tag {self.tag}{elements} of {self.host}:{self.port}{slot}"


def _is_part(array: str, tag: str) -> bool:
    """Returns whether an array, in lower case, is a member of a tag or of an element of it."""
    return array.startswith((f"{tag.lower()}.", f"{tag.lower()}["))


def client_at(broker: str, client_id: str) -> Named:
    """Returns the claim to a client id at an MQTT broker.

    Its ports do not matter: a broker that listens on several has one set of clients.
    """
    return Named(
        f"client of {machine(broker)}",
        client_id,
        f"the client_id {client_id!r} at the broker {broker}",
        "the broker ends the connection of the one when the other connects: give each its own",
    )


def topic_at(broker: str, topic: str) -> Named:
    """Returns the claim to a topic of an MQTT broker, to publish or to follow it."""
    return Named(
        f"topic of {machine(broker)}",
        topic,
        f"the topic {topic!r} at the broker {broker}",
        "give each a topic of its own",
    )


def machine(host: str) -> str:
    """Returns a name of the machine behind a host, the same for all names of this device.

    No name is looked up: a configuration can be read without a network.
    """
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ip_address(name)
    except ValueError:
        return _HERE if name == "localhost" else name
    return _HERE if address.is_loopback or address.is_unspecified else str(address)


def _is_everywhere(host: str) -> bool:
    return host.strip("[]") in ("", "0.0.0.0", "::", "0")  # noqa: S104 - no address to listen on
