"""Messages to systemd, over real datagram sockets."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.service.notify import Notifier


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """What stands in for systemd, and its address as NOTIFY_SOCKET has it."""
    address = str(tmp_path / "s") if request.param == "file" else f"@linewarden-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0"))
        listener.settimeout(10)
        yield listener, address


def test_one_message_is_one_datagram(
    manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, address = manager
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notifier = Notifier.from_environment()
    assert notifier.send(READY=1, STATUS="inspecting: 3 parts")
    assert listener.recv(4096) == b"READY=1\nSTATUS=inspecting: 3 parts"
    notifier.loading("loading", 2.5)
    assert listener.recv(4096) == b"STATUS=loading\nEXTEND_TIMEOUT_USEC=2500000"
    notifier.close()


def test_a_manager_that_does_not_read_stops_nobody(manager: tuple[socket.socket, str]) -> None:
    _, address = manager
    notifier = Notifier(address)
    started = time.monotonic()
    sent = [notifier.send(WATCHDOG=1) for _ in range(2000)]
    assert time.monotonic() - started < 10
    assert sent[0]
    assert not sent[-1]  # no room: dropped, and said
    notifier.close()


def test_a_manager_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "gone"))
    assert not notifier.send(READY=1)
    notifier.close()


def test_without_a_manager_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = Notifier.from_environment()
    assert notifier.send(READY=1)
    notifier.close()
