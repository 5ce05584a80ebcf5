"""The steps of `studies.install` about the jobs of the panel, which have a service of their own."""

from __future__ import annotations

import json
from typing import Any

from edge.panel.jobs import State
from tests.doubles import panel_calibrates
from tests.doubles.device import BUNDLE, CONFIG, PANEL, PANEL_USER, STATE, Device
from tests.doubles.device_jobs import JOBS_UNIT, DeviceJobs

_IMAGES = 6  # the simulated camera shows six good parts
_ENDLESS = ("simulate", "camera", "--port", "18080")  # runs until it is ended


def calibrates(device: Device, _wheels: object) -> str:
    """The panel's page Teach: Calibrate, as a job, with pictures from the line"""
    # The rights of docs/guides/panel.md; the bare Debian has no setfacl(1).
    rights = f"chgrp -R linewarden {BUNDLE} && chmod g+ws {BUNDLE}/calibration {BUNDLE}/.lock"
    device.machine.run("sh", "-c", rights)
    # As by systemctl edit --runtime: gone with the next start, so that no step finds it in /etc.
    writes = f"printf '[Service]\nReadWritePaths={BUNDLE}\n' > $0/bundle.conf"
    drop_ins = f"/run/systemd/system/{JOBS_UNIT}.d"
    device.machine.run("sh", "-c", f"mkdir -p $0 && {writes} && systemctl daemon-reload", drop_ins)
    line, before = device.running(), _calibrations(device)
    said = device.visit(panel_calibrates, BUNDLE, str(_IMAGES))
    assert "Calibrate: done" in said, said
    (active,) = [one for one in _calibrations(device) if one not in before and one["active"]]
    assert active["parts"] == _IMAGES, active
    device.goes_on(line)
    return (
        f"the path unit starts `{JOBS_UNIT}`; the bundle of the line has a new calibration from "
        f"{_IMAGES} good parts, which the line's user reads; the line goes on"
    )


def locks_its_job_in(device: Device, _wheels: object) -> str:
    """What a job may do, and the panel started again in the middle of it"""
    jobs, line = DeviceJobs(device.machine), device.running()
    name = jobs.ask(*_ENDLESS)
    jobs.wait_for(name, State.RUNNING)
    runner, pid = processes = jobs.processes()
    require_locked_in(device, pid)
    assert device.machine.run("ps", "-o", "ni=", "-p", pid).strip() == "19"
    device.machine.run("systemctl", "restart", PANEL)
    device.goes_on(line)
    assert jobs.processes() == processes
    device.machine.run("kill", "-9", pid)
    killed = jobs.wait_for(name, State.FAILED)
    assert killed.exit_code == -9
    jobs.wait_for_end(runner, pid)
    return (
        "the same as the panel, at priority 19; it goes on beside the new panel. `kill -9` of the "
        f'job: failed, with the words "{killed.log[-1]}"; the line goes on'
    )


def loses_its_runner(device: Device, _wheels: object) -> str:
    """`kill -9` of the service in the middle of a job, with another one that waits"""
    jobs, line = DeviceJobs(device.machine), device.running()
    lost, waiting = jobs.ask(*_ENDLESS), jobs.ask("--version")
    jobs.wait_for(lost, State.RUNNING)
    runner, pid = jobs.processes()
    device.machine.run("kill", "-9", runner)
    jobs.wait_for(lost, State.LOST)
    jobs.wait_for_end(runner, pid)
    assert jobs.find(waiting).state is State.WAITING
    jobs.wait_for(waiting, State.DONE)
    device.goes_on(line)
    return "the job is lost, and nothing of it runs; then the other one runs; the line goes on"


def boots_in_the_middle(device: Device, _wheels: object) -> str:
    """Reboot in the middle of a job, with another one that waits"""
    jobs = DeviceJobs(device.machine)
    lost, waiting = jobs.ask(*_ENDLESS), jobs.ask("--version")
    jobs.wait_for(lost, State.RUNNING)
    device.machine.reboot()
    jobs.wait_for(waiting, State.DONE)
    assert jobs.find(lost).state is State.LOST
    device.wait_for_records(5)
    return "the job is lost; the other one runs before anybody looks; the line is back"


JOB_STEPS = (calibrates, locks_its_job_in, loses_its_runner, boots_in_the_middle)


def require_locked_in(device: Device, pid: str) -> None:
    """Tries what a process of the panel must not do: by its user, and in its sandbox too."""
    assert device.machine.run("ps", "-o", "user:32=", "-p", pid).strip() == PANEL_USER
    as_panel = ("setpriv", f"--reuid={PANEL_USER}", f"--regid={PANEL_USER}", "--init-groups")
    database = f"{STATE}/records/records.sqlite"
    files = {
        "reads": f"head -c 16 {database} && ls {STATE}/records >/dev/null",
        "writes": f"touch {STATE}/records/x || echo x >> {database} || rm {database}",
        "configures": f"touch /etc/linewarden/x /srv/linewarden/x || echo x >> {CONFIG}",
        "signals": f"kill {device.running()[1]}",
    }
    for sandbox in ((), ("nsenter", "-m", "-t", pid)):
        done = {}
        for name, command in files.items():
            test = f"({command}) >/dev/null 2>&1 && echo yes || echo no"
            done[name] = device.machine.run(*sandbox, *as_panel, "sh", "-c", test).strip()
        assert done.pop("reads") == "yes", done
        assert set(done.values()) == {"no"}, done


def _calibrations(device: Device) -> list[dict[str, Any]]:
    """Returns the calibrations of the line's bundle, as the user of the line reads them."""
    words = ("runuser", "--user", "linewarden", "--", "linewarden", "calibrations", "list")
    listed: dict[str, list[dict[str, Any]]] = json.loads(
        device.machine.run(*words, BUNDLE, "--json")
    )
    return listed["default"]
