"""The kinds of outputs: the section `outputs` of a line's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args

from pydantic import Field

from edge.encoder import Encoder
from edge.line.base import LineOutput
from edge.line.ethernet_ip import EtherNetIpConfig
from edge.line.gpio import GpioConfig
from edge.line.jsonlines import JsonLinesConfig
from edge.line.modbus import ModbusConfig
from edge.line.modbus_server import ModbusServerConfig
from edge.line.mqtt import MqttConfig
from edge.line.opcua import OpcUaConfig
from edge.line.s7 import S7Config
from edge.line.webhook import WebhookConfig

StorableConfig = MqttConfig | WebhookConfig
"""Outputs behind a network, whose verdicts may come later; see `edge.store.outbox`."""

_Kinds = (
    GpioConfig
    | JsonLinesConfig
    | ModbusConfig
    | ModbusServerConfig
    | S7Config
    | EtherNetIpConfig
    | OpcUaConfig
)
OutputConfig = Annotated[_Kinds | StorableConfig, Field(discriminator="kind")]

OUTPUTS: Mapping[str, Any] = {
    get_args(config.model_fields["kind"].annotation)[0]: config
    for config in get_args(_Kinds | StorableConfig)
}


def output_names(configs: Sequence[OutputConfig]) -> list[str]:
    """Returns a name for each output: its kind, with its position where a kind repeats."""
    kinds = [config.kind for config in configs]
    return [
        kind if kinds.count(kind) == 1 else f"{kind}-{place}"
        for place, kind in enumerate(kinds, start=1)
    ]


def output_from_config(config: OutputConfig, encoder: Encoder | None = None) -> LineOutput:
    """Returns the output that `config` describes, not yet opened.

    Args:
        encoder: the encoder of the line, for a gate with its travel in counts.

    Raises:
        LineError: a package that the output needs is not installed.
    """
    if isinstance(config, GpioConfig):
        return config.driver(encoder)
    output: LineOutput = config.driver()
    return output


def untracked(config: OutputConfig) -> OutputConfig:
    """Returns the output for a use while no line runs: it tracks no parts, and opens no gate."""
    if isinstance(config, GpioConfig):
        return config.model_copy(update={"gate": None})  # the gate's line stays, inactive
    return config
