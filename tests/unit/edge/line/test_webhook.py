"""Webhook: one time limit for the whole request, harmless repeats, a signature."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import ValidationError

pytest.importorskip("httpx")

from edge.line import WebhookConfig, output_from_config
from edge.part.record import InspectionRecord
from edge.peers.access import Secret
from inspection.errors import LineError
from tests.doubles.line_peers import Receiver, closing, free_port

MakeRecord = Callable[[int], InspectionRecord]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def receiver(port: int) -> Iterator[Receiver]:
    with closing(Receiver(port)) as receiver:
        yield receiver


def config(port: int, secret: Secret | None = None, timeout_ms: float = 10_000) -> WebhookConfig:
    url = f"http://127.0.0.1:{port}/verdicts"
    return WebhookConfig(kind="webhook", url=url, secret=secret, timeout_ms=timeout_ms)


def test_a_repeat_has_the_same_id(port: int, receiver: Receiver, make_record: MakeRecord) -> None:
    output = output_from_config(config(port))
    output.open()
    for _ in range(2):
        output.send(make_record(1))
    output.close()
    assert [headers["Idempotency-Key"] for headers, _ in receiver.requests] == ["test-000001"] * 2
    assert len(receiver.seen) == 1
    headers, body = receiver.requests[0]
    assert InspectionRecord.model_validate(json.loads(body)) == make_record(1)
    assert headers["Content-Type"] == "application/json"
    assert "Linewarden-Signature" not in headers


def test_the_signature_covers_time_and_body(
    port: int, receiver: Receiver, make_record: MakeRecord, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("key\n")
    output = output_from_config(config(port, Secret(file=tmp_path / "secret")))
    output.open()
    output.send(make_record(1))
    output.close()
    headers, body = receiver.requests[0]
    timestamp = headers["Linewarden-Timestamp"]
    assert abs(int(timestamp) - time.time()) < 60
    expected = hmac.new(b"key", timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["Linewarden-Signature"] == f"v1={expected}"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_status_that_is_no_success_is_an_error(
    port: int, receiver: Receiver, make_record: MakeRecord, status: int
) -> None:
    receiver.status = status
    output = output_from_config(config(port))
    output.open()
    with pytest.raises(LineError, match=f"test-000001: it answered with status {status}"):
        output.send(make_record(1))
    output.close()


def test_nobody_there_is_an_error(port: int, make_record: MakeRecord) -> None:
    output = output_from_config(config(port))
    output.open()
    with pytest.raises(LineError, match=r"test-000001: .*; check url and that the receiver runs"):
        output.send(make_record(1))
    output.close()


def test_an_answer_that_drips_is_broken_off(port: int, make_record: MakeRecord) -> None:
    ended = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            try:
                while not ended.wait(0.05):
                    connection.sendall(b".")
            except OSError:
                ended.set()

    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        output = output_from_config(config(port, timeout_ms=200))
        output.open()
        began = time.monotonic()
        with pytest.raises(LineError, match="no answer within 200 ms"):
            output.send(make_record(1))
        assert time.monotonic() - began < 20  # all of the answer takes 50 s
        assert ended.wait(10), "the connection is still open"
        output.close()
        thread.join()


def test_an_answer_without_an_end_is_broken_off(port: int, make_record: MakeRecord) -> None:
    sent = [0]

    def pour() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
            while True:
                sent[0] += connection.send(b"." * (1 << 16))

    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=pour)
        thread.start()
        output = output_from_config(config(port, timeout_ms=30_000))
        output.open()
        output.send(make_record(1))
        thread.join(30)
        output.close()
    assert sent[0] < 32 << 20  # what the buffers of the kernel hold


def test_a_compressed_answer_does_not_grow(port: int, make_record: MakeRecord) -> None:
    body = gzip.compress(bytes(1 << 26))[: 1 << 15]

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}"
            connection.sendall(head.encode() + b"\r\n\r\n" + body)

    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        output = output_from_config(config(port, timeout_ms=30_000))
        output.open()
        tracemalloc.start()
        output.send(make_record(1))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        thread.join()
        output.close()
    assert peak < 4 << 20


def test_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    assert Secret(file=tmp_path / "secret").read() == "from a file"
    monkeypatch.setenv("LINE_SECRET", "from the environment")
    assert Secret(env="LINE_SECRET").read() == "from the environment"
    monkeypatch.delenv("LINE_SECRET")
    with pytest.raises(LineError, match="LINE_SECRET: the secret is empty"):
        Secret(env="LINE_SECRET").read()
    with pytest.raises(LineError, match="missing: the secret cannot be read"):
        Secret(file=tmp_path / "missing").read()
    with pytest.raises(ValidationError, match="either 'file' or 'env'"):
        Secret()


def test_an_address_that_is_none_is_refused() -> None:
    for url in ("http://[::1/verdicts", "http://plant:99999/verdicts", "http://plant:x/"):
        with pytest.raises(ValidationError, match="url"):
            WebhookConfig(kind="webhook", url=url)
    output = output_from_config(WebhookConfig(kind="webhook", url="http://1.2.3.999/verdicts"))
    with pytest.raises(LineError, match="is not an address"):
        output.open()


def test_an_unreadable_secret_is_found_by_open(port: int, tmp_path: Path) -> None:
    output = output_from_config(config(port, Secret(file=tmp_path / "missing")))
    with pytest.raises(LineError, match="missing: the secret cannot be read"):
        output.open()
    output.close()
