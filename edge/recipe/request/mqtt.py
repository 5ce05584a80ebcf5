"""A peer requests recipes by MQTT 3.1.1.

::

    <topic>/recipe/set    from the peer, QoS 1: the number, as 2; or {"number": 2, "id": "..."}
    <topic>/recipe/state  QoS 1, retained: a JSON object at every change
        active    number of the recipe in force
        state     idle, loading, failed; "offline" is the last will, without the other keys
        request   the number that this answers; null before the first one
        id        that of the request; null when it had none
        failure   why the request failed; empty when it did not

Each message is one request. The station leaves out a message that the broker retained, which would
come again with every connection, and messages from the time when it was away (clean session). The
peer publishes without "retain" and looks for its id in the answer. The next parts may come when the
state is idle, "active" is the number, and the station is READY.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Literal

from edge.part.signal import TEXT_MAX, Signal
from edge.peers.addresses import MqttBroker, TopicPrefix
from edge.peers.messages import NAME_MAX, Message, MessageError, Name, checked, json_value
from edge.peers.mqtt import Broker, Subscription, Will
from edge.peers.resources import topic_at
from edge.recipe.request.base import Answer, PollMilliseconds, Request, RequestedNumber
from inspection.config.claims import Claim
from inspection.config.plugins import require
from inspection.errors import LineError

OFFLINE = json.dumps({"state": "offline"})

_QUOTED = 80
_INSTALL = "pip install 'linewarden[mqtt]'"
_NOT_TAKEN = "did not take the state of the recipes"


class MqttRecipeRequestConfig(MqttBroker):
    """Messages of a topic; see `edge.recipe.request.mqtt`.

    Attributes:
        client_id: different from those of outputs and triggers.
        topic: the beginning of the topics, as plant/hall2/line3.
        poll_ms: longest delay of an answer.
    """

    kind: Literal["mqtt"]
    topic: TopicPrefix
    poll_ms: PollMilliseconds = 100.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the client id and to the topics."""
        yield from super().claims()
        for name in ("set", "state"):
            yield Claim(("topic",), topic_at(self.host, f"{self.topic}/recipe/{name}"))

    def driver(self, name: str) -> MqttRequests:
        """Returns the source of requests, not yet opened; raises LineError without the package."""
        require("recipe request 'mqtt'", "paho.mqtt.client", _INSTALL, LineError)
        return MqttRequests(name, self)


class MqttRequests:
    """Subscribes to a topic; see `edge.recipe.request.base.RequestSource`."""

    def __init__(self, name: str, config: MqttRecipeRequestConfig) -> None:
        self._set_topic = f"{config.topic}/recipe/set"
        self._state_topic = f"{config.topic}/recipe/state"
        self._broker = Broker(
            name,
            config,
            subscription=Subscription(self._set_topic, self._on_message, qos=1),
            will=Will(self._state_topic, OFFLINE, _NOT_TAKEN),
        )
        self._newest: deque[Request] = deque(maxlen=1)
        self._told = ""
        self._taken: tuple[str | None, int | None] = (None, None)
        self._published: tuple[str | None, int | None] = (None, None)

    def open(self) -> None:
        """Connect and subscribe."""
        self._told = ""
        self._broker.open()

    def take(self) -> Request | None:
        """Returns the last request since the call before."""
        self._broker.require()
        return self._newest.pop() if self._newest else None

    def answer(self, answer: Answer) -> None:
        """Publish a change, and wait until the broker has it."""
        request = answer.request
        content = {
            "active": answer.active,
            "state": answer.state.value,
            "request": request.number if request is not None else None,
            "id": request.request_id if request is not None else None,
            "failure": answer.failure,
        }
        text = json.dumps(content)
        if text != self._told:
            self._broker.deliver(self._state_topic, text, _NOT_TAKEN, retain=True)
            self._told = text
            self._published = text[:TEXT_MAX], time.monotonic_ns()

    def signals(self) -> Sequence[Signal]:
        """Returns the topics with their last messages."""
        return [
            Signal("recipe request", self._set_topic, *self._taken, is_input=True),
            Signal("recipe state", self._state_topic, *self._published),
        ]

    def close(self) -> None:
        """Publish that the station is offline, and disconnect."""
        self._broker.close()

    def _on_message(self, payload: bytes) -> None:
        text = payload.decode(errors="replace")[:TEXT_MAX]
        self._taken = text, time.monotonic_ns()
        self._newest.append(request_from_payload(payload))


class RecipeMessage(Message):
    """A request.

    Attributes:
        id: the peer's name for it, which comes back with the answer.
    """

    number: RequestedNumber
    id: Name | None = None


def request_from_payload(payload: bytes) -> Request:
    """Returns the request that a message holds; with its problem when it holds none."""
    content: object = None
    try:
        content = json_value(payload)
        if not isinstance(content, dict):
            content = {"number": content}
        message = checked(RecipeMessage, content)
    except MessageError as error:
        hint = 'publish a number, or {"number": 2, "id": "a"}'
        problem = f"no request: {payload[:_QUOTED]!r}: {error}; {hint}"
        return Request(0, _id_of(content), problem=problem)
    return Request(message.number, message.id)


def _id_of(content: object) -> str | None:
    """Returns the id of a request that is wrong, by which its peer finds the answer."""
    given = content.get("id") if isinstance(content, dict) else None
    return str(given)[:NAME_MAX] if type(given) in (str, int) else None
