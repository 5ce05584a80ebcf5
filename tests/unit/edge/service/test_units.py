"""The files of the service: systemd accepts them, and they are installed and removed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from edge.panel.config import PanelConfig
from edge.panel.jobs import QUEUE
from edge.peers.connections import ConnectionLimits
from edge.service import health
from edge.service.units import (
    CONFIGURATIONS,
    DROP_INS,
    UNITS,
    drop_ins_of,
    files_folder,
    lines,
    panel_file,
    remove,
    remove_shared,
    service_files,
    stale_drop_ins,
)
from edge.service.wheelhouse import INSTALLER
from edge.station import control
from inspection.config.loading import load_config
from inspection.errors import ConfigError

PANEL = ("linewarden-panel.service", "linewarden-jobs.service", "linewarden-jobs.path")
UNIT = "linewarden@press3.service"
SAFE = "linewarden-safe@press3.service"
# What `systemd-analyze security` says at most: 0 is locked in, 10 is not limited at all.
EXPOSURE = {"": 2.0, "jetpack6": 2.1, "jetpack7": 2.1, "nvidia-x86": 2.0, "csi": 2.2, "gige": 2.3}
GPUS = ("jetpack6", "jetpack7", "nvidia-x86")

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (apt install systemd)"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image of a device with the command installed, and a configuration."""
    for name in ("opt/linewarden/bin/linewarden", "bin/kill"):
        command = tmp_path / name
        command.parent.mkdir(parents=True)
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/press3.yaml").write_text("")
    units = tmp_path / UNITS
    units.mkdir(parents=True)
    for name in ("basic", "sysinit", "shutdown", "multi-user", "network"):
        (units / f"{name}.target").write_text("[Unit]\nDescription=stand-in\n")
    return tmp_path


def install(root: Path, *drop_ins: str) -> None:
    for file in service_files("press3", root / "srv/press3.yaml", drop_ins, root=root):
        file.write(root)


def analyze(root: Path, *words: str, units: tuple[str, ...] = (UNIT, SAFE)) -> str:
    done = subprocess.run(
        ["systemd-analyze", *words, f"--root={root}", "--no-pager", *units],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def systemd_version() -> int:
    done = subprocess.run(
        ["systemd-analyze", "--version"], capture_output=True, text=True, check=True
    )
    found = re.search(r"systemd (\d+)", done.stdout)
    return int(found[1]) if found else 0


@needs_analyze
@pytest.mark.parametrize("drop_in", ["", *DROP_INS])
def test_systemd_has_nothing_to_say_against_a_unit(root: Path, drop_in: str) -> None:
    install(root, *filter(None, [drop_in]))
    assert analyze(root, "verify") == ""  # its exit code is 0 for an unknown key too


@needs_analyze
def test_systemd_has_nothing_to_say_against_what_makes_device_files(root: Path) -> None:
    command = root / "usr/bin/nvidia-modprobe"
    command.parent.mkdir(parents=True)
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    install(root, "nvidia-x86")
    assert analyze(root, "verify", units=("linewarden-nvidia.service",)) == ""


@needs_analyze
def test_the_drop_in_for_new_systemds_is_for_them_alone(root: Path) -> None:
    (root / "usr/lib/systemd").mkdir(parents=True)
    (root / "usr/lib/systemd/libsystemd-shared-255.so").touch()
    install(root)
    said = analyze(root, "verify")
    if systemd_version() >= 254:
        assert said == ""
    else:
        assert "RestartSteps" in said
        assert "RestartMode" in said


def test_a_line_that_never_starts_is_given_up_with_growing_pauses_too() -> None:
    """Else OnFailure= would never come: fewer starts fit into the interval than it allows."""
    unit = (files_folder() / "linewarden@.service").read_text()
    drop_in = (files_folder() / "drop-ins/10-systemd254.conf").read_text()
    (hours,) = re.findall(r"^StartLimitIntervalSec=(\d+)h$", unit, re.MULTILINE)
    (starts,) = re.findall(r"^StartLimitBurst=(\d+)$", drop_in, re.MULTILINE)
    (pause_s,) = re.findall(r"^RestartMaxDelaySec=(\d+)$", drop_in, re.MULTILINE)
    assert int(starts) * int(pause_s) < int(hours) * 3600 / 2


@needs_analyze
@pytest.mark.parametrize("drop_in", list(EXPOSURE))
def test_the_units_are_hardened(root: Path, drop_in: str) -> None:
    install(root, *filter(None, [drop_in]))
    said = analyze(root, "security", "--offline=true")
    scores = [float(score) for score in re.findall(r"exposure level for \S+: ([\d.]+)", said)]
    if not scores:
        pytest.skip(f"this systemd-analyze judges no unit offline: {said.strip()[:200]}")
    assert len(scores) == 2
    assert max(scores) <= EXPOSURE[drop_in]


@needs_analyze
@pytest.mark.parametrize("drop_in", ["", *GPUS])
def test_the_panel_and_its_jobs_are_units_that_systemd_takes(root: Path, drop_in: str) -> None:
    (root / "bin").mkdir(exist_ok=True)
    (root / "bin/sh").symlink_to("../opt/linewarden/bin/linewarden")
    (root / "etc/linewarden/panel").mkdir(parents=True)
    install(root, *filter(None, [drop_in]))
    for name in ("paths", "shutdown"):
        (root / UNITS / f"{name}.target").write_text("[Unit]\nDescription=stand-in\n")
    assert analyze(root, "verify", units=PANEL) == ""
    said = analyze(root, "security", "--offline=true", units=PANEL[:2])
    scores = [float(score) for score in re.findall(r"exposure level for \S+: ([\d.]+)", said)]
    if not scores:
        pytest.skip(f"this systemd-analyze judges no unit offline: {said.strip()[:200]}")
    assert max(scores) <= 2.2


@pytest.mark.parametrize("drop_in", GPUS)
def test_a_job_has_the_gpu_of_the_lines(root: Path, drop_in: str) -> None:
    """It calibrates with their engine. The panel, which people reach, has no device."""
    install(root, drop_in)
    own = root / UNITS / f"linewarden-jobs.service.d/{drop_in}.conf"
    assert "PrivateDevices=no\n" in own.read_text()
    assert not (root / UNITS / "linewarden-panel.service.d").exists()
    remove("press3", root)
    remove_shared(root)
    assert not own.parent.exists()


def test_the_service_of_jobs_watches_the_queue_of_the_panel(root: Path) -> None:
    """A job in the unit of the panel would end with it, and have its limits."""
    install(root)
    panel, jobs, path = ((root / UNITS / name).read_text() for name in PANEL)
    assert "--set jobs=service\n" in panel
    assert "Type=notify\n" in panel  # else an upgrade does not notice one that fails at the start
    assert "Wants=linewarden-jobs.path\n" in panel
    folder = "/var/lib/linewarden-panel"  # %S/linewarden-panel, the folder of the panel
    assert f"DirectoryNotEmpty={folder}/jobs/{QUEUE}\n" in path
    (started,) = re.findall("^ExecStart=(.*)$", jobs, re.MULTILINE)
    runner = "-m edge.panel.job_runner %S/linewarden-panel/jobs"
    # Through the link, a job would import the modules of a later version.
    of_the_version = '"$$(readlink -f /opt/linewarden)/bin/python"'
    assert started == f"/bin/sh -c 'exec {of_the_version} {runner}'"
    assert not re.search("^MemoryDenyWriteExecute", panel + jobs, re.MULTILINE)  # of engines, torch


def test_no_line_takes_the_sockets_of_another_with_it(root: Path) -> None:
    install(root)
    unit = (root / UNITS / "linewarden@.service").read_text()
    # A folder of all lines would go, with every socket in it, when the first of them stops.
    assert "RuntimeDirectory=linewarden/%i\n" in unit


def test_full_servers_leave_descriptors_for_the_line(root: Path) -> None:
    install(root)
    (soft,) = re.findall(
        r"^LimitNOFILE=(\d+):", (root / UNITS / "linewarden@.service").read_text(), re.M
    )
    most = 200
    with pytest.raises(ValidationError):
        ConnectionLimits(max=most + 1)
    two_outputs_page_and_socket = 2 * most + health.LIMITS.max + control.LIMITS.max
    assert two_outputs_page_and_socket < int(soft) / 2
    assert int(soft) <= 1024  # of select(2)


def test_a_csi_camera_is_reached_through_the_tmp_of_the_system(root: Path) -> None:
    install(root, "jetpack6", "csi")
    drop_in = (root / UNITS / f"{UNIT}.d/csi.conf").read_text()
    assert "PrivateTmp=no\n" in drop_in  # /tmp/argus_socket, of nvargus-daemon


def test_a_drop_in_brings_the_unit_that_it_wants(root: Path) -> None:
    unit = root / UNITS / "linewarden-nvidia.service"
    install(root, "jetpack6")
    assert not unit.exists()
    install(root, "nvidia-x86")
    assert (
        "Wants=linewarden-nvidia.service"
        in (root / UNITS / f"{UNIT}.d/nvidia-x86.conf").read_text()
    )
    assert unit.exists()
    remove("press3", root)
    remove_shared(root)
    assert not unit.exists()


@pytest.mark.parametrize(
    ("versions", "has_pauses"), [((253,), False), ((254,), True), ((249, 255), True), ((), False)]
)
def test_growing_pauses_are_for_systems_that_know_them(
    root: Path, versions: tuple[int, ...], has_pauses: bool
) -> None:
    for version, folder in zip(versions, ("lib", "usr/lib"), strict=False):
        (root / folder / "systemd").mkdir(parents=True)
        (root / folder / f"systemd/libsystemd-shared-{version}.so").touch()
    install(root)
    assert (root / UNITS / f"{UNIT}.d/10-systemd254.conf").exists() == has_pauses


def test_an_administrator_has_the_last_word_about_the_pauses(root: Path) -> None:
    (root / "lib/systemd").mkdir(parents=True)
    (root / "lib/systemd/libsystemd-shared-255.so").touch()
    install(root, *DROP_INS)
    folder = root / UNITS / f"{UNIT}.d"
    (folder / "systemd254.conf").touch()  # by its name on devices of an earlier version
    own = folder / "override.conf"  # of `systemctl edit`
    assert sorted([*folder.glob("*.conf"), own])[-2:] == [own, folder / "systemd254.conf"]
    (stale,) = stale_drop_ins("press3", DROP_INS, root)  # which an install and an update remove
    assert root / stale == folder / "systemd254.conf"
    remove("press3", root)
    assert list(folder.parent.glob(f"{UNIT}.d/*")) == []


def test_a_file_is_readable_whatever_the_umask(root: Path) -> None:
    before = os.umask(0o077)
    try:
        install(root)
    finally:
        os.umask(before)
    assert (root / UNITS / "linewarden@.service").stat().st_mode & 0o777 == 0o644


def test_all_files_of_the_folder_are_installed_by_something(root: Path) -> None:
    (root / "lib/systemd").mkdir(parents=True)
    (root / "lib/systemd/libsystemd-shared-255.so").touch()
    found = service_files("press3", root / "srv/press3.yaml", DROP_INS, root=root)
    installed = {file.path.name for file in found} | {INSTALLER}  # which is in each wheelhouse
    assert {path.name for path in files_folder().rglob("*.*") if path.is_file()} <= installed


def test_the_state_of_each_file_is_known(root: Path) -> None:
    found = service_files("press3", root / "srv/press3.yaml", ["gige"], root=root)
    assert {file.state(root) for file in found} == {"missing"}
    install(root, "gige")
    assert {file.state(root) for file in found} == {"installed"}
    assert drop_ins_of("press3", root) == ["gige"]
    (root / UNITS / "linewarden@.service").write_text("[Service]\n")
    (root / CONFIGURATIONS / "press3.yaml").unlink()
    states = {file.path.name: file.state(root) for file in found}
    assert states["linewarden@.service"] == "differs"
    assert states["press3.yaml"] == "missing"
    install(root, "gige")
    assert {file.state(root) for file in found} == {"installed"}


def test_the_link_leads_to_where_the_device_sees_it(root: Path) -> None:
    install(root)
    assert (root / CONFIGURATIONS / "press3.yaml").readlink() == Path("/srv/press3.yaml")
    assert lines(root) == ["press3"]


def test_a_configuration_that_stands_there_already_needs_no_link(root: Path) -> None:
    path = root / CONFIGURATIONS / "press3.yaml"
    path.parent.mkdir()
    path.write_text("a: 1\n")
    for file in service_files("press3", path, root=root):
        file.write(root)
    assert path.read_text() == "a: 1\n"
    remove("press3", root)
    assert path.read_text() == "a: 1\n"


def test_lines_and_shared_files_leave_nothing_behind(root: Path) -> None:
    before = {path for path in root.rglob("*") if path.is_file()}
    install(root, "gige", "jetpack6")
    override = root / UNITS / f"{UNIT}.d/override.conf"  # an administrator's, by systemctl edit
    override.touch()
    (root / CONFIGURATIONS / "press4.yaml").symlink_to("/srv/press4.yaml")
    remove("press3", root)
    assert (root / UNITS / "linewarden@.service").exists()
    assert not drop_ins_of("press3", root)
    remove("press4", root)
    assert (root / UNITS / "linewarden-panel.service").exists()
    remove_shared(root)
    override.unlink()
    assert {path for path in root.rglob("*") if path.is_file()} == before
    remove("press3", root)
    assert not (root / UNITS / f"{UNIT}.d").exists()


def test_the_panel_shows_the_lines_of_the_device(root: Path) -> None:
    file = panel_file(["press3", "press4"])
    file.write(root)
    config = load_config(root / file.path, PanelConfig)
    assert list(config.lines) == ["press3", "press4"]
    assert config.lines["press4"] == Path("/etc/linewarden/press4.yaml")
    assert config.folder == Path("/var/lib/linewarden-panel")
    assert lines(root) == []  # it is no line itself


def test_the_panel_starts_with_the_device(root: Path) -> None:
    for name in ("linewarden@.service", "linewarden-panel.service"):
        assert "[Install]\nWantedBy=multi-user.target\n" in (files_folder() / name).read_text()


@pytest.mark.parametrize("line", ["", "../press3", "press 3", "press@3", "-press3"])
def test_a_name_that_systemd_would_escape_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match="use letters, digits"):
        service_files(line)


@pytest.mark.parametrize("folder", ["home/plant", "root", "tmp"])
def test_a_configuration_that_the_service_cannot_see_is_refused(root: Path, folder: str) -> None:
    with pytest.raises(ConfigError, match=f"/{folder}/line.yaml: the service sees nothing below"):
        service_files("press3", root / folder / "line.yaml", root=root)


def test_a_configuration_outside_the_image_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match="should be below --root"):
        service_files("press3", root.parent / "line.yaml", root=root)
