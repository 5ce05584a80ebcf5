"""The kinds of triggers: the section `trigger` of a line's file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge.trigger.camera import CameraTriggerConfig
from edge.trigger.encoder import EncoderTriggerConfig
from edge.trigger.ethernet_ip import EtherNetIpTriggerConfig
from edge.trigger.interval import IntervalTriggerConfig
from edge.trigger.modbus import ModbusTriggerConfig
from edge.trigger.mqtt import MqttTriggerConfig
from edge.trigger.presence import PresenceTriggerConfig
from edge.trigger.s7 import S7TriggerConfig
from edge.trigger.software import SoftwareTriggerConfig

FrameTriggerConfig = CameraTriggerConfig | PresenceTriggerConfig
FiredTriggerConfig = (
    SoftwareTriggerConfig
    | IntervalTriggerConfig
    | EncoderTriggerConfig
    | ModbusTriggerConfig
    | S7TriggerConfig
    | EtherNetIpTriggerConfig
    | MqttTriggerConfig
)
TriggerConfig = Annotated[FrameTriggerConfig | FiredTriggerConfig, Field(discriminator="kind")]
