"""Messages of an MQTT topic: the text of each is the id of a part, or nothing.

Quality of service 0 and a clean session: a trigger that comes late is worth nothing. A retained
message is left out, which the broker would send again after every connection.
"""

from __future__ import annotations

import queue
import threading

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.errors import LineError
from edge.line.access import Secret, TlsConfig
from edge.line.mqtt import new_client
from edge.trigger.base import Firing, part_id_from_text


class MqttTrigger:
    """Subscribes to a topic; see `edge.trigger.MqttTriggerConfig` for the arguments."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        topic: str,
        client_id: str,
        username: str | None,
        password: Secret | None,
        tls: TlsConfig | None,
        keepalive_s: int,
        timeout_ms: float,
    ) -> None:
        self._name = f"mqtt trigger {host}:{port}"
        self._host = host
        self._port = port
        self._topic = topic
        self._client_id = client_id
        self._username = username
        self._password = password
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._timeout_s = timeout_ms / 1e3
        self._client: Client | None = None
        self._answered = threading.Event()
        self._lost = ""
        self._firings: queue.SimpleQueue[Firing | None] = queue.SimpleQueue()

    def open(self) -> None:
        """Connect and subscribe; see `FiredTrigger.open`."""
        self.close()
        self._answered.clear()
        self._firings = queue.SimpleQueue()
        self._lost = "no answer to the subscription; check that an MQTT broker runs there"
        try:
            client = new_client(
                self._client_id, self._username, self._password, self._tls, self._timeout_s
            )
            client.on_connect = self._on_connect
            client.on_subscribe = self._on_subscribe
            client.on_disconnect = self._on_disconnect
            client.on_message = self._on_message
            client.connect(self._host, self._port, self._keepalive_s)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            hint = "check host, port and tls, and that the broker runs"
            raise LineError(f"{self._name}: cannot be opened: {error}; {hint}") from error
        self._client = client
        client.loop_start()
        self._answered.wait(self._timeout_s)
        if self._lost:
            self.close()
            raise LineError(f"{self._name}: cannot be opened: {self._lost}")

    def wait(self, timeout_s: float) -> Firing | None:
        """See `FiredTrigger.wait`."""
        if self._client is None:
            raise LineError(f"{self._name}: the trigger is not open")
        try:
            firing = self._firings.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if firing is None:
            self.close()
            raise LineError(f"{self._name}: lost: {self._lost}; check that the broker runs")
        return firing

    def close(self) -> None:
        """Disconnect; see `FiredTrigger.close`."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _on_connect(
        self,
        client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._lost = f"{reason}; check username and password"
            self._answered.set()
        else:
            client.subscribe(self._topic, qos=0)

    def _on_subscribe(
        self,
        _client: Client,
        _userdata: object,
        _message_id: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self._lost = f"the broker refuses the topic {self._topic}: {refused[0]}" if refused else ""
        self._answered.set()

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._lost = str(reason)
        self._answered.set()
        self._firings.put(None)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if not message.retain:
            self._firings.put(Firing(part_id_from_text(message.payload.decode(errors="replace"))))
