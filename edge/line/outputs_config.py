"""Configuration of the ways out to the line: the section `outputs` of its file."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from edge.line.gate import GateConfig, Milliseconds
from edge.peers.access import OpcUaSecurity, Secret
from edge.peers.addresses import Host, ModbusPeer, MqttBroker, Port, Register, TopicPrefix
from inspection.config.loading import ConfigPath, StrictModel

GpioRole = Literal[
    "pass",
    "reject",
    "review",
    "no_verdict",
    "result_valid",
    "ready",
    "busy",
    "fault",
    "heartbeat",
    "gate",
]


class JsonLinesConfig(StrictModel):
    """One JSON object per part, in a line of its own.

    Attributes:
        path: file to append to; "-" is standard output.
    """

    kind: Literal["jsonlines"]
    path: Literal["-"] | ConfigPath


class _Modbus(ModbusPeer):
    """What both ends have in common.

    Attributes:
        register_address: where the block of 15 registers begins, counted from 0.
        acknowledge_register: holding register with the number of the last verdict that the PLC
            took; None: it acknowledges nothing, and has a verdict of the server when it has read
            its status word and number.
        hold_ms: how long a verdict stands at least where nothing is acknowledged.
    """

    register_address: Register = 0
    acknowledge_register: Register | None = None
    hold_ms: Milliseconds = 200.0


class ModbusConfig(_Modbus):
    """Writes to a PLC; see `edge.line.modbus`."""

    kind: Literal["modbus"]


class ModbusServerConfig(_Modbus):
    """Is polled by a PLC; see `edge.line.modbus_server`."""

    kind: Literal["modbus_server"]


class MqttConfig(MqttBroker):
    """Publishes to a broker; see `edge.line.mqtt`.

    Attributes:
        topic: what the topics begin with, as plant/hall2/line3.
    """

    kind: Literal["mqtt"]
    topic: TopicPrefix

    @property
    def outbox(self) -> str:
        """Under which verdicts for this output are stored."""
        return f"mqtt {self.host}:{self.port}/{self.topic}"


class OpcUaConfig(StrictModel):
    """Is read by OPC UA clients; see `edge.line.opcua`.

    Attributes:
        host: address to listen on (0.0.0.0: all).
        security: None lets everybody in, unencrypted.
        acknowledge: wait until a client has written AcknowledgedSequence.
        hold_ms: how long a verdict stands at least where nothing is acknowledged.
        timeout_ms: limit of `send` and `show`.
    """

    kind: Literal["opcua"]
    host: Host
    port: Port = 4840
    security: OpcUaSecurity | None = None
    acknowledge: bool = False
    hold_ms: Milliseconds = 200.0
    timeout_ms: Milliseconds = 500.0


class GpioConfig(StrictModel):
    """Drives digital outputs; see `edge.line.gpio`.

    Attributes:
        chip: device file.
        lines: line name of each role; pass and reject are needed.
        active_low: names of lines that are active at low level.
        pulse_ms: length of the pulses of a verdict.
        gap_ms: least time between the pulses of two parts.
        gate: how parts are tracked to the gate, where `lines` has one.
        timeout_ms: limit of every call.
    """

    kind: Literal["gpio"]
    chip: ConfigPath
    lines: dict[GpioRole, Annotated[str, Field(min_length=1)]]
    active_low: tuple[str, ...] = ()
    pulse_ms: Milliseconds = 50.0
    gap_ms: Milliseconds = 10.0
    gate: GateConfig | None = None
    timeout_ms: Milliseconds = 100.0

    @model_validator(mode="after")
    def _two_signals(self) -> GpioConfig:
        if not {"pass", "reject"} <= set(self.lines):
            raise ValueError("lines should have 'pass' and 'reject'")
        names = list(self.lines.values())
        if len(set(names)) < len(names):
            raise ValueError("each role should have a line of its own")
        if ("gate" in self.lines) != (self.gate is not None):
            raise ValueError("a line of role 'gate' and the section 'gate' belong together")
        if unknown := set(self.active_low) - set(names):
            raise ValueError(f"active_low names {', '.join(sorted(unknown))}, not among the lines")
        return self


class WebhookConfig(StrictModel):
    """Posts to a web server; see `edge.line.webhook`.

    Attributes:
        url: http or https.
        secret: key of the HMAC-SHA256 signature; None for none.
        timeout_ms: limit of a request as a whole.
    """

    kind: Literal["webhook"]
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]")]
    secret: Secret | None = None
    timeout_ms: Milliseconds = 500.0

    @property
    def outbox(self) -> str:
        """Under which verdicts for this output are stored."""
        return f"webhook {self.url}"

    @field_validator("url")
    @classmethod
    def _has_a_port_that_exists(cls, url: str) -> str:
        _ = urlsplit(url).port  # ValueError when it is none, or out of range
        return url


StorableConfig = MqttConfig | WebhookConfig
"""Outputs behind a network, whose verdicts may come later; see `edge.store.outbox`."""

OutputConfig = Annotated[
    GpioConfig
    | JsonLinesConfig
    | ModbusConfig
    | ModbusServerConfig
    | MqttConfig
    | OpcUaConfig
    | WebhookConfig,
    Field(discriminator="kind"),
]
