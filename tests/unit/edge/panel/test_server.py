"""The server on a real port: slow and greedy clients, and its orderly end."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from edge.panel import endpoint, server
from edge.panel.config import PanelConfig
from edge.panel.refusals import Refused
from inspection.errors import LineError
from tests.doubles.certificates import certificate
from tests.doubles.panel import PASSWORD, config_of, opened
from tests.doubles.waiting import wait_for

LIMIT_S = 20.0


@contextmanager
def serving(config: PanelConfig) -> Iterator[int]:
    """Serves a panel on a thread, and yields its port."""
    with opened(config):
        pass
    with closing(server._listening(config)) as listener:
        announced: list[bool] = []
        running = server.AnnouncedServer(
            server._settings(config), lambda: announced.append(running.started)
        )
        thread = threading.Thread(target=lambda: asyncio.run(running.serve([listener])))
        thread.start()
        try:
            wait_for(lambda: announced == [True], LIMIT_S)
            yield listener.getsockname()[1]
        finally:
            running.should_exit = True
            thread.join(LIMIT_S)


@pytest.fixture
def config(tmp_path: Path) -> PanelConfig:
    return config_of(tmp_path, tmp_path / "line.yaml", port=0, connections_max=6, streams_max=2)


def connected(port: int, *parts: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), LIMIT_S)
    for part in parts:
        connection.sendall(part)
    return connection


def read_all(connection: socket.socket) -> bytes:
    with closing(connection):
        read = b""
        try:
            while part := connection.recv(65536):
                read += part
        except ConnectionError:
            pass
        return read


def test_a_client_that_never_ends_its_request_is_cut_off(
    config: PanelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HEAD_S", 0.3)
    with serving(config) as port:
        for parts in ([], [b"GET /login HT"], [b"GET /login HTTP/1.1\r\nHost: a\r\nX: "]):
            assert read_all(connected(port, *parts)) == b""


def test_a_form_that_comes_too_slowly_is_refused(
    config: PanelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "_FORM_S", 0.3)
    head = (
        "POST /login HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nname="
    )
    with serving(config) as port:
        answer = read_all(connected(port, head.format(port=port).encode()))
    assert b" 408 " in answer.splitlines()[0]
    assert b"The form came too slowly." in answer


def test_a_large_form_has_time_for_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_FORM_S", 0.0)

    async def slow() -> Message:
        await asyncio.sleep(1.0)
        return {"type": "http.request", "body": b"part"}

    request = Request({"type": "http"}, slow)
    assert anyio.run(endpoint._bounded(request, 64_000_000))["body"] == b"part"
    with pytest.raises(Refused) as caught:
        anyio.run(endpoint._bounded(request, 65_536))
    assert caught.value.status == 408


def test_long_headers_are_refused(config: PanelConfig) -> None:
    with serving(config) as port:
        head = b"GET /login HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000
        connection = connected(port)
        with suppress(ConnectionError):
            connection.sendall(head)
        assert b" 400 " in (read_all(connection) or b" 400 ").splitlines()[0]


def test_a_crowd_of_connections_keeps_nobody_out(config: PanelConfig) -> None:
    with serving(config) as port:
        crowd = [connected(port) for _ in range(30)]
        assert httpx.get(f"http://127.0.0.1:{port}/login", timeout=LIMIT_S).status_code == 200
        for one in crowd:
            one.close()


def test_a_used_port_says_so(config: PanelConfig) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        used = config.model_copy(update={"port": taken.getsockname()[1]})
        with pytest.raises(LineError, match="give another 'host' or 'port'"):
            server.serve(used, when_ready=lambda: None)


def test_tls_serves_with_secure_cookies(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path, "panel")
    tls = {"certificate_file": chain, "key_file": key}
    with serving(config_of(tmp_path, tmp_path / "line.yaml", port=0, tls=tls)) as port:
        address = f"https://127.0.0.1:{port}"
        form = {"name": "viewer", "password": PASSWORD}
        answer = httpx.post(
            f"{address}/login",
            data=form,
            headers={"origin": address},
            verify=ssl.create_default_context(cafile=chain),
            timeout=LIMIT_S,
        )
    assert answer.status_code == 303
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
