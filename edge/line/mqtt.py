"""MQTT 3.1.1: verdicts as JSON to a broker, and the station's state as a retained topic.

::

    <topic>/verdict    QoS 1, not retained: a JSON object with the record and "sequence"
    <topic>/state      QoS 1, retained: ready, busy, fault, offline; "offline" is the last will
    <topic>/heartbeat  QoS 0: a counter, which moves with every `show`

A verdict may come twice; `trigger_id` is unique over all runs and makes the repeat harmless.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import socket
import ssl
import threading
import time

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.errors import LineError
from edge.line.access import Secret, TlsConfig
from edge.line.base import StationState
from edge.line.handshake import SEQUENCE_MAX, fresh_sequence
from edge.records import InspectionRecord

OFFLINE = "offline"

_WAITING_SHARE = 0.9  # paho looks at the clock ten times within a timeout
_log = logging.getLogger(__name__)


class Mqtt:
    """Publishes to a broker and waits until it has each verdict.

    Every connection is a clean session with an empty queue: what was not confirmed in time is
    dropped with its connection, and its sender decides whether to send it again.

    Args:
        host: address of the broker.
        port: 1883, or 8883 with TLS, as a rule.
        topic: what the topics begin with.
        client_id: unique at the broker; the same one throws out the earlier connection.
        username: None for none.
        password: where to read the password.
        tls: None for none.
        keepalive_s: after one and a half times as long a silent station gets its last will.
        timeout_ms: limit of every call.
    """

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
        self._name = f"mqtt {host}:{port}"
        self._host = host
        self._port = port
        self._topic = topic
        self._client_id = client_id
        self._username = username
        self._password = password
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._timeout_ms = timeout_ms
        self._client: Client | None = None
        self._answered = threading.Event()
        self._refusal = ""
        self._state = ""
        self._sequence = fresh_sequence()
        self._beats = 0

    def open(self) -> None:
        """Connect and say that the station is not ready; see `LineOutput.open`."""
        self.close()
        deadline = time.monotonic() + self._timeout_ms / 1e3
        self._answered.clear()
        self._refusal = "no answer to the greeting; check that an MQTT broker runs there"
        try:
            client = self._new_client()
            client.connect(self._host, self._port, self._keepalive_s)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            hint = "check host, port and tls, and that the broker runs"
            raise LineError(f"{self._name}: cannot be opened: {error}; {hint}") from error
        self._client = client
        client.loop_start()
        atexit.register(self.close)
        self._answered.wait(max(0.0, deadline - time.monotonic()))
        if self._refusal:
            self._drop()
            raise LineError(f"{self._name}: cannot be opened: {self._refusal}")
        self._publish_state(StationState.FAULT.value, deadline)

    def send(self, record: InspectionRecord) -> None:
        """Publish one verdict and wait for the broker's PUBACK; see `LineOutput.send`."""
        deadline = time.monotonic() + self._timeout_ms / 1e3
        self._sequence = self._sequence % SEQUENCE_MAX + 1
        payload = json.dumps({"sequence": self._sequence, **record.model_dump(mode="json")})
        self._confirm(
            self._publish("verdict", payload, qos=1),
            deadline,
            f"did not take the verdict of {record.trigger_id}",
        )

    def show(self, state: StationState) -> None:
        """Publish a new state, and a heartbeat; see `LineOutput.show`."""
        if state.value != self._state:
            self._publish_state(state.value, time.monotonic() + self._timeout_ms / 1e3)
        self._beats += 1
        self._publish("heartbeat", str(self._beats), qos=0)

    def close(self) -> None:
        """Say that the station is offline and disconnect; see `LineOutput.close`."""
        if self._client is None:
            return
        try:
            self._publish_state(OFFLINE, time.monotonic() + self._timeout_ms / 1e3)
            self._client.disconnect()
        except LineError as error:
            _log.warning("%s", error)
        self._drop()

    def _new_client(self) -> Client:
        client = new_client(
            self._client_id, self._username, self._password, self._tls, self._timeout_ms / 1e3
        )
        client.will_set(f"{self._topic}/state", OFFLINE, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(
        self,
        _client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._refusal = f"{reason}; check username and password" if reason.is_failure else ""
        self._answered.set()

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        _log.log(
            logging.WARNING if reason.is_failure else logging.DEBUG, "%s: %s", self._name, reason
        )
        self._answered.set()

    def _publish_state(self, state: str, deadline: float) -> None:
        message = self._publish("state", state, qos=1, retain=True)
        self._confirm(message, deadline, f"did not take that the station is {state}")
        self._state = state

    def _publish(
        self, topic: str, payload: str, *, qos: int, retain: bool = False
    ) -> MQTTMessageInfo:
        if self._client is None:
            raise LineError(f"{self._name}: the output is not open")
        message = self._client.publish(f"{self._topic}/{topic}", payload, qos=qos, retain=retain)
        if message.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._drop()
            raise LineError(
                f"{self._name}: {topic} cannot be published: {message.rc.name}; "
                "check that the broker runs"
            )
        return message

    def _confirm(self, message: MQTTMessageInfo, deadline: float, what: str) -> None:
        """Wait for the broker's confirmation; without it the connection is dropped."""
        limit_s = max(0.0, deadline - time.monotonic()) * _WAITING_SHARE
        with contextlib.suppress(RuntimeError):  # the connection is lost
            message.wait_for_publish(limit_s)
            if message.is_published():
                return
        self._drop()
        raise LineError(
            f"{self._name}: {what}: no confirmation within {self._timeout_ms:g} ms; "
            "check that the broker runs"
        )

    def _drop(self) -> None:
        """Break the connection off, so that the broker publishes the last will."""
        client, self._client = self._client, None
        atexit.unregister(self.close)
        if client is None:
            return
        connection = client.socket()
        if connection is not None:
            _shut_down(connection.fileno())
        client.loop_stop()


def new_client(
    client_id: str,
    username: str | None,
    password: Secret | None,
    tls: TlsConfig | None,
    timeout_s: float,
) -> Client:
    """A client that is not connected yet, and does not connect again by itself.

    Raises:
        LineError: the password cannot be read.
        OSError: nor a certificate.
    """
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=True,
        reconnect_on_failure=False,  # its queue would deliver late; `open` connects again
    )
    client.connect_timeout = timeout_s
    if username is not None:
        client.username_pw_set(username, password.read() if password is not None else None)
    if tls is not None:
        client.tls_set_context(_tls_context(tls))
    return client


def _tls_context(tls: TlsConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.certificate_file is not None:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    return context


def _shut_down(number: int) -> None:
    """End a connection below TLS, which would wait for the other side."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as connection:
        connection.shutdown(socket.SHUT_RDWR)
