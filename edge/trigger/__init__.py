"""What announces the parts, imported only when a configuration names it.

To add one, write a file with a class like `interval.IntervalTrigger` or `presence.PresenceTrigger`,
add a line to `TRIGGERS` and its configuration to `edge.trigger.config`.
"""

from __future__ import annotations

from edge.encoder import Encoder
from edge.trigger.base import FiredTrigger, Firing, FrameTrigger
from edge.trigger.config import (
    CameraTriggerConfig,
    EncoderTriggerConfig,
    FrameTriggerConfig,
    IntervalTriggerConfig,
    ModbusTriggerConfig,
    MqttTriggerConfig,
    PresenceTriggerConfig,
    SoftwareTriggerConfig,
    TriggerConfig,
)
from inspection.config.plugins import Plugin, load_plugin
from inspection.errors import LineError

__all__ = [
    "TRIGGERS",
    "CameraTriggerConfig",
    "EncoderTriggerConfig",
    "FiredTrigger",
    "Firing",
    "FrameTrigger",
    "FrameTriggerConfig",
    "IntervalTriggerConfig",
    "ModbusTriggerConfig",
    "MqttTriggerConfig",
    "PresenceTriggerConfig",
    "SoftwareTriggerConfig",
    "TriggerConfig",
    "trigger_from_config",
]

TRIGGERS = {
    "camera": Plugin("edge.trigger.camera", "CameraTrigger", "pip install linewarden"),
    "presence": Plugin("edge.trigger.presence", "PresenceTrigger", "pip install linewarden"),
    "software": Plugin("edge.trigger.software", "SoftwareTrigger", "pip install linewarden"),
    "interval": Plugin("edge.trigger.interval", "IntervalTrigger", "pip install linewarden"),
    "encoder": Plugin("edge.trigger.encoder", "EncoderTrigger", "pip install linewarden"),
    "modbus": Plugin("edge.trigger.modbus", "ModbusTrigger", "pip install 'linewarden[modbus]'"),
    "mqtt": Plugin("edge.trigger.mqtt", "MqttTrigger", "pip install 'linewarden[mqtt]'"),
}


def trigger_from_config(
    config: TriggerConfig, encoder: Encoder | None
) -> FrameTrigger | FiredTrigger:
    """The trigger that `config` describes, not yet opened.

    Args:
        encoder: of the conveyor; needed by the kind that counts its way.

    Raises:
        LineError: what it needs is not installed.
    """
    factory = load_plugin("trigger", config.kind, TRIGGERS, LineError)
    trigger: FrameTrigger | FiredTrigger
    if isinstance(config, CameraTriggerConfig | SoftwareTriggerConfig):
        trigger = factory()
    elif isinstance(config, EncoderTriggerConfig):
        trigger = factory(encoder, config.counts)
    elif isinstance(config, IntervalTriggerConfig):
        trigger = factory(config.period_ms)
    else:
        trigger = factory(config)
    return trigger
