"""Peers that answer nonsense or nothing, or hang up, cause one error in time, which names them.

An error of another class than LineError would be a defect of the program, which ends the line.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from pydantic import TypeAdapter

from edge.line import LineOutput, OutputConfig, StationState, output_from_config
from edge.trigger import FiredTrigger, TriggerConfig
from inspection.errors import LineError
from tests.doubles.line_peers import closing

TIMEOUT_MS = 1000.0  # a busy machine takes up to half a second for the connection itself
IN_TIME_S = 20.0  # a few timeouts; the machine is shared

Converse = Callable[[socket.socket], None]


class Peer:
    """Converses with each client on a separate thread."""

    def __init__(self, converse: Converse) -> None:
        self._converse = converse
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self._converse(connection)

    def close(self) -> None:
        self._listener.close()
        for connection in self._connections:
            connection.close()


def silent(_connection: socket.socket) -> None:
    """Accepts the connection and never answers."""


def closes(connection: socket.socket) -> None:
    connection.close()


def answers(answer: Callable[[bytes], bytes]) -> Converse:
    def converse(connection: socket.socket) -> None:
        while request := connection.recv(1000):
            connection.sendall(answer(request))

    return converse


def noise(seed: int) -> Converse:
    return answers(lambda _request: random.Random(seed).randbytes(200))


def modbus(length: int, body: bytes) -> Converse:
    """Answers with the transaction and unit of the request, and the given length and body."""
    return answers(lambda q: q[:4] + length.to_bytes(2, "big") + q[6:7] + body)


PLCS: dict[str, Converse] = {
    "silent": silent,
    "closes": closes,
    "noise": noise(1),
    "no register": modbus(3, b"\x03\x00"),
    "too many registers": modbus(7, b"\x03\x04\x00\x01\x00\x02"),
    "half a register": modbus(4, b"\x03\x02\x01"),
    "another function": modbus(6, b"\x10\x00\x00\x00\x0f"),
    "an unknown function": modbus(3, b"\x63\x00"),
    "an exception": modbus(3, b"\x83\x06"),
    "half a header": answers(lambda request: request[:5]),
    "a web server": answers(lambda _request: b"HTTP/1.1 400 Bad Request\r\n\r\n"),
}


def mqtt(connack: bytes, then: bytes = b"") -> Converse:
    def converse(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(connack)
        subscribe = connection.recv(1000)
        if subscribe[:1] == b"\x82":
            connection.sendall(b"\x90\x03" + subscribe[2:4] + b"\x00")
        connection.sendall(then)

    return converse


WELCOME = b"\x20\x02\x00\x00"
BROKERS: dict[str, Converse] = {
    "silent": silent,
    "closes": closes,
    "noise": noise(0),
    "unavailable": mqtt(b"\x20\x02\x00\x03"),
    "not authorized": mqtt(b"\x20\x02\x00\x05"),
    "an unknown refusal": mqtt(b"\x20\x02\x00\x4d"),
    "then noise": mqtt(WELCOME, random.Random(0).randbytes(100)),
    "then a second welcome": mqtt(WELCOME, WELCOME),
    "then a message without topic": mqtt(WELCOME, b"\x30\x02\x00\x00"),
    "then a cut message": mqtt(WELCOME, b"\x30\x04\xff\xffab"),
    "then an endless length": mqtt(WELCOME, b"\x30\xff\xff\xff\xff\x7f"),
    "then silence": mqtt(WELCOME),
}


@pytest.fixture
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with closing(Peer(request.param)) as peer:
        yield peer


def settings(kind: str, peer: Peer) -> dict[str, Any]:
    package = {"modbus": "pymodbus", "mqtt": "paho.mqtt"}[kind]
    pytest.importorskip(package, reason=f"needs pip install 'linewarden[{kind}]'")
    more = {"topic": "test/line", "client_id": "a", "keepalive_s": 1}
    shared = {"kind": kind, "host": "127.0.0.1", "port": peer.port, "timeout_ms": TIMEOUT_MS}
    return shared | (more if kind == "mqtt" else {})


def output(kind: str, peer: Peer) -> LineOutput:
    adapter: TypeAdapter[OutputConfig] = TypeAdapter(OutputConfig)
    return output_from_config(adapter.validate_python(settings(kind, peer)))


def trigger(kind: str, peer: Peer, **more: Any) -> FiredTrigger:
    adapter: TypeAdapter[TriggerConfig] = TypeAdapter(TriggerConfig)
    made = adapter.validate_python(settings(kind, peer) | more).driver(None)
    assert isinstance(made, FiredTrigger)
    return made


def fail(call: Callable[[], object]) -> str:
    """Returns the message of a call that must fail in time."""
    began = time.monotonic()
    with pytest.raises(LineError) as told:
        call()
    assert time.monotonic() - began < IN_TIME_S
    return str(told.value)


def use(trigger: FiredTrigger) -> None:
    trigger.open()
    for _ in range(50):
        trigger.wait(0.1)


def plcs(*names: str) -> pytest.MarkDecorator:
    chosen = names or tuple(PLCS)
    return pytest.mark.parametrize(
        "peer", [PLCS[name] for name in chosen], ids=chosen, indirect=True
    )


@plcs()
def test_an_output_does_not_trust_a_plc(peer: Peer) -> None:
    with closing(output("modbus", peer)) as plc:
        for _ in range(2):
            assert f"modbus 127.0.0.1:{peer.port}: cannot be opened; check the PLC" in fail(
                plc.open
            )
        assert "is not open" in fail(lambda: plc.show(StationState.READY))


@plcs()
def test_a_register_that_triggers_does_not_trust_a_plc(peer: Peer) -> None:
    with closing(trigger("modbus", peer, address=1)) as register:
        for _ in range(2):
            assert f"modbus trigger 127.0.0.1:{peer.port}: address 1: " in fail(
                lambda: use(register)
            )


@plcs("silent", "closes", "noise", "no register", "another function")
def test_a_coil_that_triggers_does_not_trust_a_plc(peer: Peer) -> None:
    with closing(trigger("modbus", peer, address=1, table="coil")) as coil:
        assert "check that the PLC runs" in fail(lambda: use(coil))


@pytest.mark.parametrize("peer", BROKERS.values(), ids=BROKERS, indirect=True)
def test_an_output_does_not_trust_a_broker(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    with closing(output("mqtt", peer)) as broker:
        for _ in range(2):
            assert f"mqtt 127.0.0.1:{peer.port}: " in fail(broker.open)
        assert "is not open" in fail(lambda: broker.show(StationState.READY))
    assert not caplog.records  # the caller reports the error


@pytest.mark.parametrize("peer", BROKERS.values(), ids=BROKERS, indirect=True)
def test_a_trigger_does_not_trust_a_broker(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    with closing(trigger("mqtt", peer)) as broker:
        assert f"mqtt trigger 127.0.0.1:{peer.port}: " in fail(lambda: use(broker))
        assert "is not open" in fail(lambda: broker.wait(0.0))
    assert not caplog.records


@pytest.mark.parametrize("peer", [BROKERS["not authorized"]], indirect=True)
def test_a_refusal_says_what_to_check(peer: Peer) -> None:
    with closing(output("mqtt", peer)) as broker:
        assert fail(broker.open).endswith("Not authorized; check username and password")
