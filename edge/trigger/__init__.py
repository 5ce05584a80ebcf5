"""Triggers: the announcement of parts.

To add one, write a file like `interval` or `presence`, with its configuration, its driver and the
command that installs its package, and add the configuration to `config`.
"""

from edge.trigger.base import FiredTrigger, Firing, FrameTrigger
from edge.trigger.camera import CameraTriggerConfig
from edge.trigger.config import FrameTriggerConfig, TriggerConfig
from edge.trigger.encoder import EncoderTriggerConfig
from edge.trigger.ethernet_ip import EtherNetIpTriggerConfig
from edge.trigger.interval import IntervalTriggerConfig
from edge.trigger.modbus import ModbusTriggerConfig
from edge.trigger.mqtt import MqttTriggerConfig
from edge.trigger.presence import PresenceTriggerConfig
from edge.trigger.s7 import S7TriggerConfig
from edge.trigger.software import SoftwareTriggerConfig

__all__ = [
    "CameraTriggerConfig",
    "EncoderTriggerConfig",
    "EtherNetIpTriggerConfig",
    "FiredTrigger",
    "Firing",
    "FrameTrigger",
    "FrameTriggerConfig",
    "IntervalTriggerConfig",
    "ModbusTriggerConfig",
    "MqttTriggerConfig",
    "PresenceTriggerConfig",
    "S7TriggerConfig",
    "SoftwareTriggerConfig",
    "TriggerConfig",
]
