"""What somebody does to a device, from the first look to the removal, and what is seen.

The docstring of a step is its name on the page.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from studies.installation.panel_jobs import JOB_STEPS, require_locked_in
from studies.installation.wheels import Wheels
from tests.doubles import device as devices
from tests.doubles import panel_visit
from tests.doubles.device import (
    CONFIG,
    LINE,
    LIVE,
    PANEL,
    PANEL_PORT,
    PANEL_USER,
    UNIT,
    VERSIONS,
    Device,
)
from tests.doubles.device_jobs import JOBS_UNIT
from tests.doubles.nspawn import wait_until


class Step(NamedTuple):
    """One thing that somebody does to the device; `act` returns what was seen."""

    name: str
    act: Callable[[Device, Wheels], str]


def examines(device: Device, wheels: Wheels) -> str:
    """`install.sh check`"""
    assert device.machine.run("sh", "-c", "command -v linewarden || true") == ""
    said = device.machine.run(device.carry(wheels.first), "check")
    return f"`{said.strip()}`"


def installs(device: Device, wheels: Wheels) -> str:
    """`install.sh --line press3=... --panel --restart`"""
    device.configure()
    said = device.machine.run(
        device.carry(wheels.first), "--line", f"{LINE}={CONFIG}", "--panel", "--restart"
    )
    assert "onnxruntime: ready" in said, said
    assert device.machine.show(UNIT, "User") == "linewarden"
    assert device.running()[0] == device.installed()
    megabytes = int(device.machine.run("du", "-sm", device.installed()).split()[0])
    return f"the line runs and waits for its camera; the environment has {megabytes} MB"


def judges(device: Device, _wheels: Wheels) -> str:
    """Camera and PLC start: verdicts in the memory of the PLC"""
    device.wire()
    wait_until(lambda: {"PASS", "REJECT"} <= set(device.taken().values()), 120)
    shown = device.shown(10)
    assert shown
    taken = _taken_as_recorded(device, shown)
    records = device.records()
    counted = _counted([records[one] for one in taken])
    return (
        f"the PLC has taken {len(taken)} verdicts ({counted}), each "
        f"that of its record; a second Modbus client saw {len(shown)} of them in its registers"
    )


def measures(device: Device, _wheels: Wheels) -> str:
    """`/metrics`, as Prometheus scrapes it"""
    page = device.metrics()
    parts = {
        sample.labels["verdict"]: int(sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "linewarden_parts_total"
    }
    records = Counter(one["verdict"] for one in device.records().values())
    assert all(parts[verdict] <= count for verdict, count in records.items()), (parts, records)
    assert parts["PASS"] > 0
    assert device.get(f"http://127.0.0.1:{devices.HEALTH_PORT}/readyz")
    return f"{len(page.splitlines())} lines; {parts['PASS']} PASS, {parts['REJECT']} REJECT"


def shows(device: Device, _wheels: Wheels) -> str:
    """The panel: first login with the one-time password from its journal"""
    wait_until(lambda: "one-time password" in device.machine.journal(PANEL))
    (password,) = re.findall(r"one-time password (\S+?)[\"\s]", device.machine.journal(PANEL) + " ")
    said = json.loads(device.visit(panel_visit, password))
    assert set(said["pages"].values()) == {200}, said
    device.wait_for_records(1)
    assert said["newest"] in device.records()
    return (
        f"{', '.join(said['pages'])} answer 200; the live page shows part {said['newest']}, which "
        "is in the records"
    )


def is_locked_in(device: Device, _wheels: Wheels) -> str:
    """What the panel's process may do"""
    require_locked_in(device, device.running(PANEL)[1])
    return (
        f"user `{PANEL_USER}`; reads the records; writes none, changes no configuration, signals "
        "no line: by the rights of the files alone, and once more by the unit's sandbox"
    )


def is_judged(device: Device, _wheels: Wheels) -> str:
    """`systemd-analyze security`, of 0 (locked in) to 10"""
    found = device.machine.run("systemd-analyze", "security", "--no-pager")
    levels = {
        unit: float(level) for unit, level in re.findall(r"(linewarden\S+)\s+([\d.]+)", found)
    }
    assert {UNIT, PANEL, JOBS_UNIT} <= levels.keys()
    assert max(levels.values()) < 2
    return ", ".join(f"`{unit}` {level}" for unit, level in levels.items())


def loses_its_panel(device: Device, _wheels: Wheels) -> str:
    """`kill -9` of the panel"""
    line, pid = device.running(), device.running(PANEL)[1]
    before = device.records()
    device.machine.run("kill", "-9", pid)
    device.wait_for_records(20)
    assert device.running() == line
    wait_until(lambda: device.running(PANEL)[1] not in {pid, "0"})
    wait_until(lambda: _answers(device, f"http://127.0.0.1:{PANEL_PORT}/login"))
    assert device.machine.show(UNIT, "NRestarts") == "0"
    _taken_as_recorded(device, {})
    counted = _counted([one for name, one in device.records().items() if name not in before])
    return f"the line goes on ({counted} meanwhile); systemd has started the panel again"


def boots_again(device: Device, _wheels: Wheels) -> str:
    """Reboot"""
    before = device.records()
    started = time.monotonic()
    device.machine.reboot()
    device.wait_for_records(1)
    first_s = time.monotonic() - started
    shown = device.shown(5)
    assert shown.keys().isdisjoint(before)
    taken = _taken_as_recorded(device, shown)
    assert before.keys() <= device.records().keys()
    wait_until(lambda: _answers(device, f"http://127.0.0.1:{PANEL_PORT}/login"))
    return (
        f"line, panel, PLC and camera are back; first record after {first_s:.0f} s; "
        f"all {len(before)} records are there; the PLC has {len(taken)} verdicts, each as recorded"
    )


def is_installed_twice(device: Device, wheels: Wheels) -> str:
    """`install.sh` a second time"""
    unchanged = device.running(), device.installed(), device.files(LIVE, VERSIONS, "/etc")
    said = device.machine.run(device.carry(wheels.first))
    assert "built already" in said
    assert "new " not in said
    assert "changed " not in said
    device.goes_on(unchanged[0])
    assert unchanged == (device.running(), device.installed(), device.files(LIVE, VERSIONS, "/etc"))
    return "no file changed; the line goes on"


def is_refused_damaged_wheels(device: Device, wheels: Wheels) -> str:
    """Upgrade with one wrong byte in a wheel"""
    script = device.carry(wheels.second)
    (wheel,) = (device.machine.root / "srv/wheels" / wheels.second.name).glob("numpy-*.whl")
    genuine = wheel.read_bytes()
    wheel.write_bytes(genuine[:-1] + bytes([genuine[-1] ^ 1]))
    said = _fails_to_upgrade(device, script)
    assert wheel.name in said, said
    wheel.write_bytes(genuine)
    return "refused by the name of the wheel; the line goes on"


def is_killed_while_it_installs(device: Device, wheels: Wheels) -> str:
    """`kill -9` of the upgrade while pip installs"""
    before, folder = device.running(), device.installed()
    script = device.carry(wheels.second)
    with device.machine.running("setsid", script) as process:
        versions = Path(str(device.machine.root) + VERSIONS)
        begun = "*/lib/python*/site-packages/numpy"
        known = set(versions.glob(begun))
        wait_until(lambda: set(versions.glob(begun)) - known)
        device.machine.run("pkill", "-9", "-f", script)
        device.machine.run("pkill", "-9", "-f", "pip --isolated", check=False)
        process.wait(30)
    assert device.installed() == folder
    assert device.version()
    device.goes_on(before)
    return "the link is as it was; the line goes on, and the command works"


def refuses_the_configuration(device: Device, wheels: Wheels) -> str:
    """Upgrade to a version that does not accept the line's configuration"""
    said = _fails_to_upgrade(device, device.carry(wheels.refusing))
    assert f"{LINE}.yaml:1: schema_version" in said, said
    return "refused before anything changed, with file, line and key; the line goes on"


def fails_at_the_start(device: Device, wheels: Wheels) -> str:
    """`install.sh --restart` to a version that cannot run the line"""
    _goes_back(device, device.carry(wheels.failing), UNIT)
    return "the line does not start; install.sh goes back, and it runs the version before"


def fails_at_the_start_of_the_panel(device: Device, wheels: Wheels) -> str:
    """`install.sh --restart` to a version whose panel does not start"""
    _goes_back(device, device.carry(wheels.failing_panel), PANEL)
    return "install.sh goes back; line and panel run the version before"


def is_upgraded(device: Device, wheels: Wheels) -> str:
    """Upgrade"""
    before, old = device.running(), device.version()
    said = device.machine.run(device.carry(wheels.second))
    assert f"systemctl restart {UNIT}" in said
    assert device.version() != old
    device.goes_on(before)
    device.machine.run("systemctl", "restart", UNIT, PANEL)
    device.wait_for_records(5)
    assert device.running()[0] == device.installed() != before[0]
    return (
        f"`linewarden` is {device.version()} and the line goes on with {old} until `systemctl "
        "restart`; then it judges with the new version"
    )


def is_rolled_back(device: Device, wheels: Wheels) -> str:
    """`install.sh rollback --restart`, and the upgrade once more"""
    new = device.version()
    script = device.carry(wheels.second)
    device.machine.run(script, "rollback", "--restart")
    old = device.version()
    assert old != new
    device.wait_for_records(5)
    assert device.running()[0] == device.installed()
    assert "built already" in device.machine.run(script, "--restart")
    assert device.version() == new
    device.wait_for_records(5)
    return f"{new} to {old} and back, both by the link alone"


def is_removed(device: Device, wheels: Wheels) -> str:
    """`install.sh uninstall`"""
    records = len(device.records())
    device.machine.run(device.carry(wheels.second), "uninstall")
    assert device.machine.run("sh", "-c", "command -v linewarden || true") == ""
    left = device.files("/etc", "/opt", "/usr/local")
    named = {path for path in left if "linewarden" in path}
    allowed = {"/etc/linewarden", "/etc/linewarden/panel", "/etc/linewarden/panel/panel.yaml"}
    assert named == allowed, named
    assert len(device.records()) >= records
    assert device.machine.run("systemctl", "is-active", UNIT, check=False).strip() != "active"
    return (
        f"no program, unit, rule or link; {len(device.records())} records, the panel's "
        "configuration and /srv/linewarden stay"
    )


def is_purged(device: Device, wheels: Wheels) -> str:
    """Installed again, and `install.sh uninstall --purge`"""
    script = device.carry(wheels.second)
    device.machine.run(script, "--line", f"{LINE}={CONFIG}", "--panel", "--restart")
    device.wait_for_records(5)
    device.machine.run(script, "uninstall", "--purge")
    left = device.files("/etc", "/opt", "/usr/local", "/var/lib", "/run")
    named = {path for path in left if "linewarden" in path}
    assert named == set(), named
    users = device.machine.run("getent", "passwd", "linewarden", PANEL_USER, check=False)
    assert users == ""
    return "judged with the records of before; then nothing of it is left, and no user"


def _taken_as_recorded(device: Device, shown: dict[str, str]) -> dict[str, str]:
    """Compares what the PLC took and shows with the records; returns what it took."""
    device.wait_for_records(5)
    taken, records = device.taken(), device.records()
    for trigger_id, verdict in (taken | shown).items():
        assert verdict == records[trigger_id]["verdict"], trigger_id
    return taken


def _counted(records: Sequence[Mapping[str, Any]]) -> str:
    """Returns the number of records of each verdict, and of each cause of NO_VERDICT."""
    verdicts = Counter(
        f"{one['verdict']} ({one['cause']})" if one["cause"] else one["verdict"] for one in records
    )
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))


def _answers(device: Device, url: str) -> bool:
    try:
        return bool(device.get(url))
    except AssertionError:
        return False


def _goes_back(device: Device, script: str, unit: str) -> None:
    """Upgrades to a version with which a unit does not start, and sees the one before come back."""
    folder = device.installed()
    said = device.machine.run(script, "--restart", check=False)
    assert f"{unit} did not start" in said, said
    assert "back to the version before" in said, said
    assert device.installed() == folder
    wait_until(lambda: device.running()[0] == folder)
    wait_until(lambda: _answers(device, f"http://127.0.0.1:{PANEL_PORT}/login"))
    assert device.running(PANEL)[0] == folder
    device.wait_for_records(5)


def _fails_to_upgrade(device: Device, script: str, *words: Sequence[str]) -> str:
    """Returns what install.sh says, after a look whether everything is as before."""
    before = device.running(), device.installed(), device.version()
    said = device.machine.run("sh", "-c", f"{script}; echo exit code $?")
    assert "exit code 1" in said, said
    device.goes_on(before[0])
    assert before == (device.running(), device.installed(), device.version())
    return said


STEPS = [
    Step((act.__doc__ or "").strip(), act)
    for act in (
        examines, installs, judges, measures, shows, is_locked_in, is_judged, loses_its_panel,
        *JOB_STEPS, boots_again, is_installed_twice, is_refused_damaged_wheels,
        is_killed_while_it_installs, refuses_the_configuration, fails_at_the_start,
        fails_at_the_start_of_the_panel, is_upgraded, is_rolled_back, is_removed, is_purged,
    )
]  # fmt: skip
