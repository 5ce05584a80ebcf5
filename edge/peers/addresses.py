"""Configures the addresses of peers on the network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from edge.peers.access import Secret, TlsConfig
from edge.peers.resources import (
    LAST_REGISTER,
    DataBlockRange,
    RegisterRange,
    Table,
    TagRange,
    client_at,
)
from inspection.config.claims import Claim, Claimant
from inspection.config.flaws import Flaw, refuse
from inspection.config.secret import hidden_problem


def _host_alone(host: str) -> str:
    if re.search(r"[\s@/?#]", host):
        raise hidden_problem(
            "should be a host name or an address alone, without scheme, user, password and path"
        )
    return host


Host = Annotated[str, Field(min_length=1), AfterValidator(_host_alone)]
Port = Annotated[int, Field(ge=1, le=65535)]
Register = Annotated[int, Field(ge=0, le=LAST_REGISTER)]
DbNumber = Annotated[int, Field(ge=1, le=65535)]
DbByte = Annotated[int, Field(ge=0, le=65534)]
Milliseconds = Annotated[float, Field(gt=0, le=60_000)]

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,39}"
_MEMBER = rf"{_NAME}(\[[0-9]{{1,5}}\])?"
Tag = Annotated[str, Field(pattern=rf"^(Program:{_NAME}\.)?{_MEMBER}(\.{_MEMBER})*$")]
"""A controller tag, or one of a program as Program:Name.Tag; with members and one index each."""

TopicPrefix = Annotated[str, Field(pattern=r"^[^+#\x00/][^+#\x00]*[^+#\x00/]$")]


class ModbusPeer(Claimant):
    """The address of a PLC by Modbus TCP, or of the station for a PLC that polls it.

    Attributes:
        host: address of the PLC, or to listen on (0.0.0.0: all).
        device_id: unit identifier; with 0 the station as server accepts any.
        timeout_ms: limit of every call.
    """

    host: Host
    port: Port = 502
    device_id: Annotated[int, Field(ge=0, le=255)] = 1
    timeout_ms: Milliseconds = 200.0

    def registers(self, key: str, table: Table, count: int = 1) -> Iterable[Claim]:
        """Returns the claim to the registers from the address in `key` on; none for None."""
        first = getattr(self, key)
        if first is not None:
            where = self.host, self.port, self.device_id
            yield Claim((key,), RegisterRange(*where, table, first, count))

    @model_validator(mode="after")
    def _within_the_tables(self) -> ModbusPeer:
        refuse(
            Flaw(claim.keys, f"{claim.resource.name} reach beyond {LAST_REGISTER}, the last one")
            for claim in self.claims()
            if isinstance(claim.resource, RegisterRange) and claim.resource.last > LAST_REGISTER
        )
        return self


class S7Peer(Claimant):
    """The address of a Siemens S7 controller.

    Attributes:
        rack, slot: of the CPU: S7-1200 and S7-1500 slot 1, S7-300 slot 2; S7-400 as in its hardware
            configuration.
        timeout_ms: limit of every call.
    """

    host: Host
    port: Port = 102
    rack: Annotated[int, Field(ge=0, le=7)] = 0
    slot: Annotated[int, Field(ge=0, le=31)] = 1
    timeout_ms: Milliseconds = 200.0

    def data(self, key: str, db: int, size: int, bit: int | None = None) -> Iterable[Claim]:
        """Returns the claim to bytes of a data block from that in `key` on; none for None.

        Args:
            size: number of bytes.
            bit: the only one that is claimed of the byte.
        """
        first = getattr(self, key)
        if first is not None:
            bits = (8 * first, 8 * size) if bit is None else (8 * first + bit, 1)
            where = self.host, self.port, self.rack, self.slot, db
            yield Claim((key,), DataBlockRange(*where, *bits))


class EtherNetIpPeer(Claimant):
    """The address of an Allen-Bradley controller.

    Attributes:
        slot: of the controller in its chassis; None where the controller answers by itself, as a
            Micro800 does.
        timeout_ms: limit of every call.
    """

    host: Host
    port: Port = 44818
    slot: Annotated[int, Field(ge=0, le=255)] | None = 0
    timeout_ms: Milliseconds = 200.0

    def tags(self, key: str, count: int = 1) -> Iterable[Claim]:
        """Returns the claim to a tag, or to `count` elements of it; none for None."""
        tag = getattr(self, key)
        if tag is not None:
            yield Claim((key,), TagRange(self.host, self.port, self.slot, tag, count))


class MqttBroker(Claimant):
    """The address of an MQTT broker.

    Attributes:
        client_id: unique at the broker, which closes an earlier connection of the same id.
        tls: None: unencrypted. Brokers mostly use port 8883 for TLS.
        keepalive_s: after 1.5 times as long without a sign of the station, the broker publishes
            the last will.
        timeout_ms: limit of every call.
    """

    host: Host
    port: Port = 1883
    client_id: Annotated[str, Field(min_length=1)]
    username: str | None = None
    password: Secret | None = None
    tls: TlsConfig | None = None
    keepalive_s: Annotated[int, Field(ge=1, le=3600)] = 5
    timeout_ms: Milliseconds = 500.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the client id."""
        yield Claim(("client_id",), client_at(self.host, self.client_id))

    @model_validator(mode="after")
    def _password_of_somebody(self) -> MqttBroker:
        if self.password is not None and self.username is None:
            raise ValueError("'password' without 'username'")
        return self
