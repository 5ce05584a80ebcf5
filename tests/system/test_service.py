"""The installed service under systemd in a machine; `make reliability` runs all cases."""

from pathlib import Path

import pytest

from tests.doubles import nspawn

if reason := nspawn.why_not():
    pytest.skip(reason, allow_module_level=True)

from edge.panel.jobs import State
from edge.sim.parts import drawn_part, write_frames
from tests.doubles.device import PANEL, PANEL_USER
from tests.doubles.device_jobs import JOBS_UNIT, DeviceJobs
from tests.doubles.line_machine import UNIT, line_machine, now
from tests.doubles.reliability import CASES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", ["kill -9", "exception in output", "SIGTERM during an inspection"])
def test_every_part_is_accounted_for(case: str, tmp_path: Path) -> None:
    with line_machine(tmp_path) as line:
        outcome = CASES[case](line)
        assert outcome.account.records >= 8
        assert outcome.safe_s is not None
        assert outcome.safe_s < 5
        assert "SECCOMP" not in line.machine.journal(UNIT)


@pytest.mark.parametrize(
    "case",
    [
        "dead output beside others",
        "1100 silent connections",
        "log rotation",
        "database overwritten while it runs",
    ],
)
def test_the_line_goes_on(case: str, tmp_path: Path) -> None:
    """The case itself holds each verdict against its record."""
    with line_machine(tmp_path) as line:
        outcome = CASES[case](line)
        assert outcome.safe_s is None
        assert outcome.account.compared >= 8
        assert "SECCOMP" not in line.machine.journal(UNIT)


def test_a_model_is_taught_in_the_sandbox_of_jobs_beside_the_line(tmp_path: Path) -> None:
    """`make install-study` has no PyTorch; here it is the one of the tests."""
    pytest.importorskip("timm", reason="needs the extra export")
    with line_machine(tmp_path) as line:
        machine, source = line.machine, str(nspawn.SOURCE)
        line.linewarden("service", "panel")
        where = f"[Service]\nEnvironment=PYTHONPATH={source} PYTHONDONTWRITEBYTECODE=1\n"
        machine.write(f"/etc/systemd/system/{JOBS_UNIT}.d/source.conf", where)
        machine.run("systemctl", "daemon-reload")
        line.start("plc", "mosquitto", UNIT, PANEL)
        folder = f"/var/lib/{PANEL_USER}"
        parts = [("good", drawn_part(number)) for number in range(6)]
        write_frames(machine.root / folder.lstrip("/") / "flange", parts)
        pid, jobs = line.pid(), DeviceJobs(machine, source)
        name = jobs.ask("teach", "--good", f"{folder}/flange", "--out", f"{folder}/out/flange")
        job = jobs.wait_for(name, State.DONE, limit_s=600)
        assert any("threshold" in said for said in job.log)
        line.wait_for_verdicts(8, after=now())
        assert line.pid() == pid
        line.linewarden("verify", f"{folder}/out/flange")
