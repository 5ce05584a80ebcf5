"""`linewarden simulate` as a process."""

import os
import pty
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from edge.sim.base import free_port
from edge.station.config import LineConfig
from inspection.config.loading import load_config
from tests.doubles.line_folder import GENEROUS_S, ROOT, command
from tests.doubles.waiting import wait_for


@pytest.mark.skipif(shutil.which("mosquitto") is None, reason="needs mosquitto (apt install)")
def test_no_broker_is_left_by_a_simulation_that_systemd_stops() -> None:
    simulate = command("simulate", "broker", "--port", str(free_port()), "--json")
    with subprocess.Popen(simulate, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "MQTT broker" in process.stdout.readline()
        (broker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(GENEROUS_S) == 128 + signal.SIGTERM
    wait_for(lambda: not Path(f"/proc/{broker}").exists(), GENEROUS_S)


def test_a_simulated_line_has_its_web_pages(tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    plant, said = tmp_path / "plant", tmp_path / "said"
    simulate = command("simulate", "line", "--config", "configs/line/replay.yaml", "--panel")
    words = ("--out", plant, "--set", "deadline_ms=30000", "--set", "health={port: 9540}")
    with said.open("wb") as stream:
        process = subprocess.Popen(
            [*simulate, *map(str, words)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stream
        )
    try:
        wait_for(lambda: _address(said, "panel at ") or process.poll() is not None, GENEROUS_S)
        panel = _address(said, "panel at ")
        verdicts = plant / "verdicts.jsonl"
        wait_for(lambda: verdicts.exists() and verdicts.read_text().count("\n") >= 2, GENEROUS_S)
        with urlopen(panel) as answer:  # noqa: S310 - nobody has logged in
            assert answer.status == 200
        with urlopen(_address(said, "health page at ")) as answer:  # noqa: S310
            assert b"linewarden_parts_total" in answer.read()
        assert load_config(plant / "line.yaml", LineConfig).control_socket == plant / "line.sock"
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_S) == 128 + signal.SIGTERM
        with pytest.raises(URLError):
            urlopen(panel)  # noqa: S310
    finally:
        process.kill()
        process.wait()


def _address(said: Path, words: str) -> str:
    """Returns the address behind some words on standard error; empty before they come."""
    return next(iter(said.read_text().partition(words)[2].split()), "")


def test_a_line_ends_with_the_reader_of_its_output() -> None:
    simulate = command("simulate", "line", "--config", "configs/line/ethernet_ip.yaml", "--json")
    with subprocess.Popen(
        simulate, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "machine" in process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(GENEROUS_S) == 128 + signal.SIGPIPE
    assert "Traceback" not in said


def test_a_terminal_keeps_the_parts_of_a_line_without_machines(tmp_path: Path) -> None:
    shown = _on_a_terminal("configs/line/replay.yaml", tmp_path)
    assert "\x1b[H" not in shown
    assert shown.count("PASS") >= 2
    assert "simulated: bundle" in shown


def test_a_terminal_shows_the_differences_below_the_machines(tmp_path: Path) -> None:
    pytest.importorskip("pymodbus")
    shown = _on_a_terminal("configs/line/modbus.yaml", tmp_path)
    *_, page = shown.split("\x1b[H\x1b[J")
    assert "RESULT_VALID" in page
    assert "simulated: PLC 192.168.0.10:502 -> " in page


def _on_a_terminal(config: str, folder: Path) -> str:
    """Returns everything that a simulation of three parts writes to a terminal."""
    main_end, terminal = pty.openpty()
    simulate = command("simulate", "line", "--config", config, "--out", folder / "plant")
    words = ("--parts", "3", "--period-s", "0.1", "--set", "deadline_ms=30000")
    with subprocess.Popen([*simulate, *words], cwd=ROOT, stdout=terminal, stderr=terminal) as one:
        os.close(terminal)
        shown = bytearray()
        with suppress(OSError):  # Linux's way to say that the other end is closed
            while read := os.read(main_end, 4096):
                shown += read
        os.close(main_end)
        assert one.wait(GENEROUS_S) == 0
    return shown.decode()
