"""SIGTERM stops a line; SIGHUP opens its files anew, unless it tells the end of the terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge.service.signals import stopped_by_signals, surviving_hangups

ROOT = Path(__file__).parents[4]
GENEROUS_S = 60.0

# Prints "ready", then each call, until it is stopped.
_WAITING = """
import os, signal, sys, time
from edge.service.signals import stopped_by_signals, surviving_hangups
out = os.open(sys.argv[1], os.O_WRONLY)
ended = []
with surviving_hangups():
    os.kill(os.getpid(), signal.SIGHUP)
    with stopped_by_signals(
        lambda: ended.append(1), on_hangup=lambda: os.write(out, b"reopen\\n")
    ) as received:
        os.write(out, b"ready\\n")
        while not ended:
            time.sleep(0.01)
os.write(out, f"stopped by {received}\\n".encode())
"""


@pytest.fixture(autouse=True)
def default_hangup() -> None:
    """Has new processes take SIGHUP, also where this runs under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def told(tmp_path: Path) -> Path:
    path = tmp_path / "told"
    os.mkfifo(path)
    return path


def test_a_hangup_is_a_call_and_a_stop_is_a_stop() -> None:
    calls: list[str] = []
    with stopped_by_signals(
        lambda: calls.append("stop"), on_hangup=lambda: calls.append("reopen")
    ) as received:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
        assert (calls, received) == (["reopen", "reopen"], [])
        os.kill(os.getpid(), signal.SIGTERM)
        assert (calls, received) == (["reopen", "reopen", "stop"], [signal.SIGTERM])
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_a_hangup_while_nothing_is_open_yet_is_survived() -> None:
    with surviving_hangups():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_a_process_under_nohup_goes_on_ignoring_hangups() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    calls: list[str] = []
    with surviving_hangups(), stopped_by_signals(on_hangup=lambda: calls.append("reopen")):
        os.kill(os.getpid(), signal.SIGHUP)
    assert calls == []


def test_the_end_of_the_terminal_stops_a_process_that_a_hangup_does_not(told: Path) -> None:
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-c", _WAITING, str(told)],
        cwd=ROOT,
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
    )
    os.close(its_end)
    try:
        with told.open() as lines:
            assert lines.readline() == "ready\n"
            process.send_signal(signal.SIGHUP)
            assert lines.readline() == "reopen\n"
            os.close(terminal)
            assert lines.readline() == "stopped by [1]\n"
        assert process.wait(GENEROUS_S) == 0
    finally:
        process.kill()
        process.wait()
