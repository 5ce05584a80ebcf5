"""A connection to an MQTT broker (MQTT 3.1.1).

Each connection is a clean session with an empty queue and never reconnects by itself: unconfirmed
messages go with their connection, and the broker sends the station nothing that was published
during its absence. The owner opens it again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from edge.peers.access import TlsConfig
from edge.peers.addresses import MqttBroker
from edge.peers.certificates import load_pair
from edge.peers.messages import MESSAGE_MAX_BYTES
from inspection.config.plugins import Sdk
from inspection.errors import LineError

if TYPE_CHECKING:
    from paho.mqtt import client as paho
    from paho.mqtt import enums
    from paho.mqtt.client import (
        Client,
        ConnectFlags,
        DisconnectFlags,
        MQTTMessage,
        MQTTMessageInfo,
    )
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode
else:
    paho, enums = Sdk("paho.mqtt.client"), Sdk("paho.mqtt.enums")

_WAITING_SHARE = 0.9  # paho looks at the clock ten times within a timeout
_UNSPECIFIED = 0x80  # paho's reason for a connection that ends without one
_WHO = (0x86, 0x87)  # bad user name or password, not authorized


_log = logging.getLogger(__name__)


class Subscription(NamedTuple):
    """A topic, and the receiver of its messages.

    Attributes:
        on_message: takes the payload of each message, on the thread of the connection, cut behind
            `MESSAGE_MAX_BYTES` + 1 bytes. Retained messages are left out: the broker sends them
            again after every connection.
    """

    topic: str
    on_message: Callable[[bytes], None]
    qos: int = 0


class Will(NamedTuple):
    """The retained message about a station that is gone: `close` publishes it, else the broker.

    Attributes:
        failure: the error when the broker does not confirm it to `close`.
    """

    topic: str
    payload: str
    failure: str


class Broker:
    """Connects, subscribes to one topic at most, and publishes. One thread at a time calls it.

    Args:
        name: of its use, for messages.
    """

    def __init__(
        self,
        name: str,
        config: MqttBroker,
        *,
        subscription: Subscription | None = None,
        will: Will | None = None,
    ) -> None:
        self._name = name
        self._config = config
        self._subscription = subscription
        self._will = will
        self._client: Client | None = None
        self._answered = threading.Event()
        self._ended = threading.Event()
        self._problem = ""  # why an open connection is lost

    def deadline(self) -> float:
        """Returns the end of a call that begins now, on the monotonic clock in seconds."""
        return time.monotonic() + self._config.timeout_ms / 1e3

    def open(self) -> None:
        """Connects, in place of an earlier connection, and subscribes.

        Raises:
            LineError: the broker does not answer, or refuses; the message says what to check.
        """
        self.drop()
        deadline = self.deadline()
        self._answered.clear()
        self._ended.clear()
        self._problem = "no answer to the greeting; check that an MQTT broker runs there"
        try:
            client = self._new_client()
            client.connect(self._config.host, self._config.port, self._config.keepalive_s)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            hint = "check host, port and tls, and that the broker runs"
            raise LineError(f"{self._name}: cannot be opened: {error}; {hint}") from error
        self._client = client
        client.loop_start()
        self._answered.wait(max(0.0, deadline - time.monotonic()))
        if problem := self._problem:
            self.drop()
            raise LineError(f"{self._name}: cannot be opened: {problem}")

    def publish(
        self, topic: str, payload: str, *, qos: int, retain: bool = False
    ) -> MQTTMessageInfo:
        """Hands over a message, without waiting for its confirmation.

        Raises:
            LineError: the connection is lost; it is dropped.
        """
        if self._client is None:
            raise LineError(f"{self._name}: the connection is not open")
        message = self._client.publish(topic, payload, qos=qos, retain=retain)
        if message.rc is not enums.MQTTErrorCode.MQTT_ERR_SUCCESS:
            why = self._problem or message.rc.name
            self.drop()
            raise LineError(
                f"{self._name}: {topic} cannot be published: {why}; check that the broker runs"
            )
        return message

    def deliver(
        self,
        topic: str,
        payload: str,
        failure: str,
        *,
        retain: bool = False,
        deadline: float | None = None,
    ) -> None:
        """Publishes a message with QoS 1 and waits for the PUBACK of the broker.

        Args:
            failure: the error when the broker does not confirm the message.
            deadline: end of the call; None: the time limit of the configuration from now.

        Raises:
            LineError: the broker does not confirm the message; the connection is dropped.
        """
        until_s = self.deadline() if deadline is None else deadline
        message = self.publish(topic, payload, qos=1, retain=retain)
        limit_s = max(0.0, until_s - time.monotonic()) * _WAITING_SHARE
        with contextlib.suppress(RuntimeError):  # the connection is lost
            message.wait_for_publish(limit_s)
            if message.is_published():
                return
        self.drop()
        raise LineError(
            f"{self._name}: {failure}: no confirmation within {self._config.timeout_ms:g} ms; "
            "check that the broker runs"
        )

    def require(self) -> None:
        """Does nothing while the connection works.

        Raises:
            LineError: the connection is lost, and dropped, or not open.
        """
        if self._client is None:
            raise LineError(f"{self._name}: the connection is not open")
        if why := self._problem:
            self.drop()
            raise LineError(f"{self._name}: lost: {why}; check that the broker runs")

    def close(self) -> None:
        """Publishes the will and disconnects. Safe to call twice, and without `open`."""
        if self._client is not None and self._will is not None and not self._problem:
            try:
                self.deliver(*self._will, retain=True)
            except LineError as error:
                _log.warning("%s", error)
        if self._client is not None:
            self._client.disconnect()
            self._ended.wait(self._config.timeout_ms / 1e3)
        self.drop()

    def drop(self) -> None:
        """Breaks the connection, so that the broker publishes the last will."""
        client, self._client = self._client, None
        if client is None:
            return
        connection = client.socket()
        if connection is not None:
            _shut_down(connection.fileno())
        client.loop_stop()

    def _new_client(self) -> Client:
        config = self._config
        client = paho.Client(
            enums.CallbackAPIVersion.VERSION2,
            client_id=config.client_id,
            clean_session=True,
            reconnect_on_failure=False,  # its queue would deliver late; `open` connects again
        )
        client.connect_timeout = config.timeout_ms / 1e3
        if config.username is not None:
            password = config.password
            client.username_pw_set(config.username, None if password is None else password.read())
        if config.tls is not None:
            client.tls_set_context(_tls_context(config.tls))
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._take
        return client

    def _on_connect(
        self,
        client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            hint = "; check username and password" if reason.value in _WHO else ""
            self._answer(f"the broker refuses: {reason}{hint}")
        elif self._subscription is None:
            self._answer("")
        else:
            self._problem = "no answer to the subscription; check that an MQTT broker runs there"
            client.subscribe(self._subscription.topic, qos=self._subscription.qos)

    def _on_subscribe(
        self,
        _client: Client,
        _userdata: object,
        _message_id: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        topic = self._subscription.topic if self._subscription is not None else ""
        self._answer(f"the broker refuses the topic {topic}: {refused[0]}" if refused else "")

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        why = "the connection broke off" if reason.value == _UNSPECIFIED else str(reason)
        self._answer(self._problem or why)
        self._ended.set()

    def _answer(self, problem: str) -> None:
        self._problem = problem
        self._answered.set()

    def _take(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if self._subscription is not None and not message.retain:
            self._subscription.on_message(bytes(message.payload[: MESSAGE_MAX_BYTES + 1]))


def _tls_context(tls: TlsConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.certificate_file is not None:
        load_pair(context, tls.certificate_file, tls.key_file)
    return context


def _shut_down(number: int) -> None:
    """Ends a connection below TLS, which would wait for the other side."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as connection:
        connection.shutdown(socket.SHUT_RDWR)
