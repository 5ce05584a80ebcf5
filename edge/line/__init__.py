"""Ways out to the line, imported only when a configuration names them.

To add one, write a file with a class like `jsonlines.JsonLines`, add a line to `OUTPUTS` and its
configuration to `edge.line.outputs_config`.
"""

from __future__ import annotations

from edge.encoder import Encoder
from edge.line.base import LineOutput, StationState
from edge.line.gate import GateConfig
from edge.line.outputs_config import (
    GpioConfig,
    JsonLinesConfig,
    ModbusConfig,
    ModbusServerConfig,
    MqttConfig,
    OpcUaConfig,
    OutputConfig,
    StorableConfig,
    WebhookConfig,
)
from edge.peers.access import OpcUaSecurity, Secret, TlsConfig
from inspection.config.plugins import Plugin, load_plugin
from inspection.errors import LineError

__all__ = [
    "OUTPUTS",
    "GateConfig",
    "GpioConfig",
    "JsonLinesConfig",
    "LineOutput",
    "ModbusConfig",
    "ModbusServerConfig",
    "MqttConfig",
    "OpcUaConfig",
    "OpcUaSecurity",
    "OutputConfig",
    "Secret",
    "StationState",
    "StorableConfig",
    "TlsConfig",
    "WebhookConfig",
    "output_from_config",
]

OUTPUTS = {
    "gpio": Plugin("edge.line.gpio", "Gpio", "pip install 'linewarden[gpio]'"),
    "jsonlines": Plugin("edge.line.jsonlines", "JsonLines", "pip install linewarden"),
    "modbus": Plugin("edge.line.modbus", "ModbusClient", "pip install 'linewarden[modbus]'"),
    "modbus_server": Plugin(
        "edge.line.modbus_server", "ModbusServer", "pip install 'linewarden[modbus]'"
    ),
    "mqtt": Plugin("edge.line.mqtt", "Mqtt", "pip install 'linewarden[mqtt]'"),
    "opcua": Plugin("edge.line.opcua", "OpcUa", "pip install 'linewarden[opcua]'"),
    "webhook": Plugin("edge.line.webhook", "Webhook", "pip install 'linewarden[webhook]'"),
}


def output_from_config(config: OutputConfig, encoder: Encoder | None = None) -> LineOutput:
    """The output that `config` describes, not yet opened.

    Args:
        encoder: that of the line, for a gate whose travel is in its counts.

    Raises:
        LineError: what the output needs is not installed.
    """
    factory = load_plugin("output", config.kind, OUTPUTS, LineError)
    output: LineOutput = (
        factory(config, encoder) if isinstance(config, GpioConfig) else factory(config)
    )
    return output
