"""`linewarden simulate` as a process."""

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from edge.sim.base import free_port
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
