"""Messages of an MQTT topic as triggers: the text of each is a part id, or empty.

Quality of service 0: a late trigger is worthless. The trigger ignores a retained message, which
the broker would send again after every connection.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Annotated, Literal

from pydantic import Field

from edge.encoder import Encoder
from edge.part.signal import TEXT_MAX, Signal
from edge.peers.addresses import MqttBroker
from edge.peers.mqtt import Broker, Subscription
from edge.peers.resources import topic_at
from edge.trigger.base import FiredConfig, Firing, part_id_from_text
from inspection.config.claims import Claim
from inspection.config.plugins import require
from inspection.errors import LineError

WAITING_MAX = 1024  # announcements that are not taken yet; more are a flood

_INSTALL = "pip install 'linewarden[mqtt]'"

_log = logging.getLogger(__name__)


class MqttTriggerConfig(FiredConfig, MqttBroker):
    """Takes the messages of a topic as triggers; see `edge.trigger.mqtt`.

    Attributes:
        topic: its messages are triggers, with the part id as text.
    """

    kind: Literal["mqtt"]
    topic: Annotated[str, Field(pattern=r"^[^+#\x00]+$")]

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the client id and to the topic."""
        yield from super().claims()
        yield Claim(("topic",), topic_at(self.host, self.topic))

    def driver(self, _encoder: Encoder | None) -> MqttTrigger:
        """Returns the trigger, not yet opened; raises LineError without the package."""
        require("trigger 'mqtt'", "paho.mqtt.client", _INSTALL, LineError)
        return MqttTrigger(self)


class MqttTrigger:
    """Subscribes to a topic; each message announces a part."""

    def __init__(self, config: MqttTriggerConfig) -> None:
        self._topic = config.topic
        self._last: tuple[str | None, int | None] = (None, None)
        self._broker = Broker(
            f"mqtt trigger {config.host}:{config.port}",
            config,
            subscription=Subscription(config.topic, self._on_message),
        )
        self._firings: queue.Queue[Firing] = queue.Queue(WAITING_MAX)

    def open(self) -> None:
        """Connects and subscribes."""
        self._broker.close()
        self._firings = queue.Queue(WAITING_MAX)
        self._broker.open()

    def wait(self, timeout_s: float) -> Firing | None:
        """See `FiredTrigger.wait`."""
        with suppress(queue.Empty):
            return self._firings.get(timeout=timeout_s)
        self._broker.require()
        return None

    def signals(self) -> Sequence[Signal]:
        """Returns the topic with its last message."""
        return [Signal("trigger", self._topic, *self._last, is_input=True)]

    def close(self) -> None:
        """Disconnects."""
        self._broker.close()

    def _on_message(self, payload: bytes) -> None:
        text = payload.decode(errors="replace")
        self._last = text[:TEXT_MAX], time.monotonic_ns()
        firing = Firing(part_id_from_text(text))
        try:
            self._firings.put_nowait(firing)
        except queue.Full:
            _log.error("%d announcements wait to be taken: this one is no part", WAITING_MAX)
