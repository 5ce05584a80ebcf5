"""Outputs to the line.

To add one, write a file like `webhook`, with its configuration, its driver and the command that
installs its package, and add the configuration to `outputs_config`.
"""

from edge.line.base import HoldsFile, LineOutput, StationState
from edge.line.ethernet_ip import EtherNetIpConfig
from edge.line.gate import GateConfig
from edge.line.gpio import GpioConfig
from edge.line.jsonlines import JsonLinesConfig
from edge.line.modbus import ModbusConfig
from edge.line.modbus_server import ModbusServerConfig
from edge.line.mqtt import MqttConfig
from edge.line.opcua import OpcUaConfig
from edge.line.outputs_config import (
    OUTPUTS,
    OutputConfig,
    StorableConfig,
    output_from_config,
    output_names,
)
from edge.line.s7 import S7Config
from edge.line.webhook import WebhookConfig
from edge.peers.access import OpcUaSecurity, Secret, TlsConfig

__all__ = [
    "OUTPUTS",
    "EtherNetIpConfig",
    "GateConfig",
    "GpioConfig",
    "HoldsFile",
    "JsonLinesConfig",
    "LineOutput",
    "ModbusConfig",
    "ModbusServerConfig",
    "MqttConfig",
    "OpcUaConfig",
    "OpcUaSecurity",
    "OutputConfig",
    "S7Config",
    "Secret",
    "StationState",
    "StorableConfig",
    "TlsConfig",
    "WebhookConfig",
    "output_from_config",
    "output_names",
]
