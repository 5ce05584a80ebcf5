"""MQTT 3.1.1: verdicts as JSON to a broker, and the station's state as a retained topic.

::

    <topic>/verdict    QoS 1, not retained: a JSON object with the record and "sequence"
    <topic>/state      QoS 1, retained: ready, busy, fault, offline; "offline" is the last will
    <topic>/heartbeat  QoS 0: a counter, which moves with every `show`

A verdict may come twice; `trigger_id` is unique over all runs and identifies the repeat.
"""

from __future__ import annotations

import atexit
import json
import time
from collections.abc import Iterable, Sequence
from typing import Literal

from edge.line.base import StationState
from edge.line.handshake import SEQUENCE_MAX, fresh_sequence
from edge.part.record import InspectionRecord
from edge.part.signal import TEXT_MAX, Signal
from edge.peers.addresses import MqttBroker, TopicPrefix
from edge.peers.mqtt import Broker, Will
from edge.peers.resources import topic_at
from inspection.config.claims import Claim
from inspection.config.plugins import require
from inspection.errors import LineError

OFFLINE = "offline"

_TOPICS = ("verdict", "state", "heartbeat")
_INSTALL = "pip install 'linewarden[mqtt]'"


class MqttConfig(MqttBroker):
    """Publishes to a broker; see `edge.line.mqtt`.

    Attributes:
        topic: prefix of the topics, as plant/hall2/line3.
    """

    kind: Literal["mqtt"]
    topic: TopicPrefix

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the client id and to the topics."""
        yield from super().claims()
        for name in _TOPICS:
            yield Claim(("topic",), topic_at(self.host, f"{self.topic}/{name}"))

    @property
    def outbox(self) -> str:
        """Name under which the outbox stores verdicts for this output."""
        return f"mqtt {self.host}:{self.port}/{self.topic}"

    def driver(self) -> Mqtt:
        """Returns the output, not yet opened; raises LineError without the package."""
        require("output 'mqtt'", "paho.mqtt.client", _INSTALL, LineError)
        return Mqtt(self)


class Mqtt:
    """Publishes to a broker and waits until it has each verdict.

    A message without a confirmation in time is dropped with its connection; the sender may send it
    again.
    """

    def __init__(self, config: MqttConfig) -> None:
        self._topic = config.topic
        will = Will(f"{config.topic}/state", OFFLINE, _state_failure(OFFLINE))
        self._broker = Broker(f"mqtt {config.host}:{config.port}", config, will=will)
        self._state = ""
        self._sequence = fresh_sequence()
        self._beats = 0
        self._published: dict[str, tuple[str, int]] = {}

    def open(self) -> None:
        """Connects and publishes that the station is not ready."""
        self.close()
        deadline = self._broker.deadline()
        atexit.register(self.close)
        self._broker.open()
        self._publish_state(StationState.FAULT, deadline)

    def send(self, record: InspectionRecord) -> None:
        """Publishes one verdict and waits for the PUBACK of the broker."""
        self._sequence = self._sequence % SEQUENCE_MAX + 1
        payload = json.dumps({"sequence": self._sequence, **record.model_dump(mode="json")})
        failure = f"did not take the verdict of {record.trigger_id}"
        self._broker.deliver(f"{self._topic}/verdict", payload, failure)
        self._note("verdict", payload)

    def show(self, state: StationState) -> None:
        """Publishes a new state, and a heartbeat."""
        if state.value != self._state:
            self._publish_state(state)
        self._beats += 1
        self._broker.publish(f"{self._topic}/heartbeat", str(self._beats), qos=0)
        self._note("heartbeat", str(self._beats))

    def signals(self) -> Sequence[Signal]:
        """Returns the topics with what was last published there."""
        nothing = (None, None)
        return [
            Signal(name, f"{self._topic}/{name}", *self._published.get(name, nothing))
            for name in _TOPICS
        ]

    def close(self) -> None:
        """Publishes that the station is offline and disconnects."""
        atexit.unregister(self.close)
        self._broker.close()

    def _publish_state(self, state: StationState, deadline: float | None = None) -> None:
        topic, failure = f"{self._topic}/state", _state_failure(state.value)
        self._broker.deliver(topic, state.value, failure, retain=True, deadline=deadline)
        self._state = state.value
        self._note("state", state.value)

    def _note(self, topic: str, payload: str) -> None:
        self._published[topic] = payload[:TEXT_MAX], time.monotonic_ns()


def _state_failure(state: str) -> str:
    return f"did not take that the station is {state}"
