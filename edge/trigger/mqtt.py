"""Messages of an MQTT topic as triggers: the text of each is a part id, or empty.

Quality of service 0: a late trigger is worthless. The trigger ignores a retained message, which
the broker would send again after every connection.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edge.encoder import Encoder
from edge.peers.addresses import MqttBroker
from edge.peers.mqtt import Broker
from edge.trigger.base import FiredConfig, Firing, part_id_from_text
from inspection.config.plugins import require
from inspection.errors import LineError

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage


_INSTALL = "pip install 'linewarden[mqtt]'"


class MqttTriggerConfig(FiredConfig, MqttBroker):
    """Takes the messages of a topic as triggers; see `edge.trigger.mqtt`.

    Attributes:
        topic: its messages are triggers, with the part id as text.
    """

    kind: Literal["mqtt"]
    topic: Annotated[str, Field(pattern=r"^[^+#\x00]+$")]

    def driver(self, _encoder: Encoder | None) -> MqttTrigger:
        """Returns the trigger, not yet opened; raises LineError without the package."""
        require("trigger 'mqtt'", "paho.mqtt.client", _INSTALL, LineError)
        return MqttTrigger(self)


class MqttTrigger:
    """Subscribes to a topic; each message announces a part."""

    def __init__(self, config: MqttTriggerConfig) -> None:
        self._name = f"mqtt trigger {config.host}:{config.port}"
        self._broker = Broker(self._name, config, topic=config.topic, on_message=self._on_message)
        self._firings: queue.SimpleQueue[Firing] = queue.SimpleQueue()

    def open(self) -> None:
        """Connects and subscribes."""
        self._broker.close()
        self._firings = queue.SimpleQueue()
        self._broker.open()

    def wait(self, timeout_s: float) -> Firing | None:
        """Waits for the next message."""
        if not self._broker.is_open:
            raise LineError(f"{self._name}: the trigger is not open")
        try:
            return self._firings.get(timeout=timeout_s)
        except queue.Empty:
            if why := self._broker.lost:
                self.close()
                raise LineError(f"{self._name}: lost: {why}; check that the broker runs") from None
            return None

    def close(self) -> None:
        """Disconnects."""
        self._broker.close()

    def _on_message(self, message: MQTTMessage) -> None:
        if not message.retain:
            self._firings.put(Firing(part_id_from_text(message.payload.decode(errors="replace"))))
