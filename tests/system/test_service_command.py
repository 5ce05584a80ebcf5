"""`linewarden run --service` and `linewarden service` as processes, without systemd."""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.line.handshake import Bits
from edge.service import units
from edge.service.wheelhouse import INSTALLER
from inspection.bundle import Bundle
from inspection.errors import ConfigError
from inspection.files import sha256_of
from linewarden.commands import service
from tests.doubles.line_folder import (
    GENEROUS_S,
    ROOT,
    command,
    linewarden,
    part,
    write_line,
    write_parts,
)
from tests.doubles.line_peers import PlcServer, free_port
from tests.doubles.waiting import wait_for

needs_systemctl = pytest.mark.skipif(
    shutil.which("systemctl") is None, reason="needs systemctl (apt install systemd)"
)


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    write_parts(tmp_path / "parts", part())
    return write_line(tmp_path, "camera: {kind: replay, path: parts, loop: true, rate_hz: 20}\n")


class Manager:
    """Plays systemd: starts the service and receives its messages."""

    def __init__(self, listener: socket.socket, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._listener = listener

    def hear(self, word: str) -> str:
        """Returns the next message with a word in it."""
        ends = time.monotonic() + GENEROUS_S
        while word not in (message := self._listener.recv(4096).decode()):
            assert time.monotonic() < ends, f"waited in vain for {word!r}; last: {message}"
        return message


@contextmanager
def managed(config: Path, *settings: str) -> Iterator[Manager]:
    overrides = [word for setting in settings for word in ("--set", setting)]
    with started(config.parent, "run", "--service", "--config", config, *overrides) as manager:
        yield manager


@contextmanager
def started(folder: Path, *words: str | Path) -> Iterator[Manager]:
    address = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(GENEROUS_S)
        process = subprocess.Popen(
            command(*words),
            cwd=ROOT,
            env={**os.environ, "NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "900000"},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield Manager(listener, process)
        finally:
            process.kill()
            process.communicate()


def test_systemd_is_told_from_the_loading_to_the_stop(config: Path) -> None:
    port = free_port()
    with managed(config, f"health.port={port}") as manager:
        assert "STATUS=verifying the bundle" in manager.hear("EXTEND_TIMEOUT_USEC")
        manager.hear("READY=1")
        assert "WATCHDOG=1" in manager.hear("STATUS=inspecting")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=GENEROUS_S) as page:
            assert json.load(page)["outputs"]["jsonlines"]["is_up"]
        manager.process.send_signal(signal.SIGTERM)
        manager.hear("STOPPING=1")
        _, said = manager.process.communicate(timeout=GENEROUS_S)
        assert manager.process.returncode == 143
        assert "parts: " in said


def test_systemd_is_told_when_the_panel_answers(config: Path) -> None:
    panel, port = config.with_name("panel.yaml"), free_port()
    panel.write_text(f"port: {port}\nlines: {{press3: {config.name}}}\nfolder: panel\n")
    with started(config.parent, "panel", "--config", panel) as manager:
        manager.hear("READY=1")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/login", timeout=GENEROUS_S) as page:
            assert page.status == 200


def test_an_upgrade_is_refused_with_a_panel_that_it_would_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = tmp_path / "panel.yaml"
    panel.write_text("port: 9600\nprot: 1\n")
    monkeypatch.setattr(units, "CONFIGURATIONS", tmp_path / "none")
    monkeypatch.setattr(service, "PANEL_CONFIGURATION", panel)
    with pytest.raises(ConfigError, match=r"panel\.yaml:2: prot"):
        service.run(argparse.Namespace(action="update", dry_run=True))


def test_a_camera_and_an_output_that_are_absent_are_waited_for(config: Path) -> None:
    port = free_port()
    (config.parent / "parts").rename(config.parent / "unplugged")
    text = config.read_text()
    config.write_text(text + f"  - {{kind: modbus, host: 127.0.0.1, port: {port}}}\n")
    with managed(config, "outputs.1.register_address=0") as manager:
        manager.hear("READY=1")
        assert "not inspecting (view main:" in manager.hear("outputs down: 1 of 2 (modbus")
        (config.parent / "unplugged").rename(config.parent / "parts")
        manager.hear("STATUS=inspecting")
        plc = PlcServer(port, acknowledges=False)
        try:
            while "outputs down" in manager.hear("WATCHDOG=1"):
                pass
            wait_for(lambda: Bits.READY in plc.shown_bits(), GENEROUS_S)
        finally:
            manager.process.terminate()
            _, said = manager.process.communicate(timeout=GENEROUS_S)
            plc.close()
    assert manager.process.returncode == 143
    assert "the line waits for the camera" in said
    assert "the line starts without an output: modbus" in said


def test_a_stop_while_the_camera_is_absent_is_orderly(config: Path) -> None:
    with managed(config, "camera.path=/nowhere") as manager:
        manager.hear("READY=1")
        manager.process.terminate()
        manager.process.communicate(timeout=GENEROUS_S)
        assert manager.process.returncode == 143


def test_a_bundle_that_does_not_verify_ends_the_service(config: Path, tiny_bundle: Bundle) -> None:
    with (tiny_bundle.folder / "model.onnx").open("ab") as stream:
        stream.write(b"x")
    with managed(config) as manager:
        _, said = manager.process.communicate(timeout=GENEROUS_S)
    assert manager.process.returncode == 4
    assert "model.onnx" in said


def test_an_error_has_its_severity_in_the_journal(config: Path, tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w") as journal:
        found = os.fstat(journal.fileno())
        subprocess.run(
            command("run", "--service", "--config", config, "--set", "recipe=other"),
            stderr=journal,
            cwd=ROOT,
            env={**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"},
            check=False,
        )
    (line,) = (tmp_path / "journal").read_text().splitlines()
    assert line.startswith("<3>")
    assert "recipe 'other' is not calibrated" in json.loads(line[3:])["message"]


@needs_systemctl
def test_a_line_is_installed_shown_and_removed(config: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    (image / "srv").mkdir(parents=True)
    shutil.copy(config, image / "srv/press3.yaml")
    words = ("service", "install", "press3", "--root", image, "--config", image / "srv/press3.yaml")
    dry = linewarden(*words, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.endswith("nothing was written\n")
    assert sorted(path.name for path in image.iterdir()) == ["srv"]
    done = linewarden(*words, "--drop-in", "gige", "jetpack6")
    assert done.returncode == 0, done.stderr
    assert "new        /etc/systemd/system/linewarden@.service" in done.stdout
    wanted = image / "etc/systemd/system/multi-user.target.wants/linewarden@press3.service"
    assert wanted.is_symlink()
    (image / "etc/udev/rules.d/70-linewarden.rules").write_text("edited\n")
    own = image / "etc/systemd/system/linewarden@press3.service.d"
    (own / "systemd254.conf").touch()  # of an earlier version, where override.conf came before it
    again = linewarden(*words, "--drop-in", "gige")
    assert "as it was  /etc/systemd/system/linewarden@.service" in again.stdout
    assert "changed    /etc/udev/rules.d/70-linewarden.rules" in again.stdout
    assert "removed    /etc/systemd/system/linewarden@press3.service.d/jetpack6" in again.stdout
    assert sorted(path.name for path in own.glob("*.conf"))[-1:] == ["gige.conf"]
    shown = json.loads(linewarden("service", "status", "--root", image, "--json").stdout)
    assert set(shown["press3"]["files"].values()) == {"installed"}
    for leaving in ("press3", "--all"):
        assert linewarden(*words).returncode == 0
        removed = linewarden("service", "remove", leaving, "--root", image)
        assert removed.returncode == 0, removed.stderr
    assert [path for path in image.rglob("*") if path.is_file()] == [image / "srv/press3.yaml"]
    assert not wanted.is_symlink()
    assert "no line" in linewarden("service", "status", "--root", image).stdout


def test_a_configuration_of_the_device_is_not_replaced(config: Path, tmp_path: Path) -> None:
    own = tmp_path / "image/etc/linewarden/press3.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("a: 1\n")
    shutil.copy(config, tmp_path / "image/other.yaml")
    words = ("--root", tmp_path / "image", "--config", tmp_path / "image/other.yaml")
    done = linewarden("service", "install", "press3", *words)
    assert done.returncode == 3
    assert f"{own}: is another configuration" in done.stderr
    assert own.read_text() == "a: 1\n"


def test_a_line_that_takes_what_another_has_is_warned(config: Path, tmp_path: Path) -> None:
    """The other line is a copy, with outputs of its own."""
    installed = tmp_path / "image/etc/linewarden"
    installed.mkdir(parents=True)
    text = config.read_text() + "health: {port: 9600}\n"
    config.write_text(text)
    (installed / "press3.yaml").write_text(text)
    (installed / "press4.yaml").write_text(text.replace("parts.jsonl", "other.jsonl"))
    (installed / "press5.yaml").write_text("colour: red\n")
    words = ("--root", tmp_path / "image", "--config", config, "--dry-run")
    done = linewarden("service", "install", "press3", *words)
    assert done.returncode == 3, done.stderr  # the copy in the image is another file
    assert done.stderr.splitlines()[:2] == [
        f"warning: not compared with press5: {installed}/press5.yaml:1: bundle: is missing",
        (
            "warning: health.port: takes port 9600 on 127.0.0.1, and health.port of press4 takes "
            "it too; give each a port of its own"
        ),
    ]


def test_a_wrong_configuration_is_not_installed(config: Path, tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    config.write_text(config.read_text() + "colour: red\n")
    done = linewarden(
        "service", "install", "press3", "--root", tmp_path / "image", "--config", config
    )
    assert done.returncode == 3
    assert "colour" in done.stderr
    assert not any((tmp_path / "image").iterdir())


def test_safe_tells_every_output_and_names_those_that_are_not_there(config: Path) -> None:
    here, absent = free_port(), free_port()
    plc = PlcServer(here, acknowledges=False)
    text = config.read_text()
    for port in (absent, here):
        text += f"  - {{kind: modbus, host: 127.0.0.1, port: {port}, register_address: 0}}\n"
    config.write_text(text)
    try:
        done = linewarden("service", "safe", "--config", config)
        assert done.returncode == 7
        assert f"not in the safe state: modbus 127.0.0.1:{absent}: cannot be opened" in done.stderr
        assert plc.writes
        assert Bits(plc.writes[-1][0]) & ~Bits.HEARTBEAT == Bits(0)
    finally:
        plc.close()


def test_safe_tries_again_within_its_time(config: Path) -> None:
    port = free_port()
    text = config.read_text()
    config.write_text(
        text + f"  - {{kind: modbus, host: 127.0.0.1, port: {port}, register_address: 0}}\n"
    )
    words = command("service", "safe", "--config", config, "--within-s", str(GENEROUS_S))
    with subprocess.Popen(words, cwd=ROOT) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        plc = PlcServer(port, acknowledges=False)
        try:
            assert process.wait(GENEROUS_S) == 0
        finally:
            plc.close()


def make_wheel(folder: Path, name: str, version: str, *requirements: str) -> Path:
    """Makes an empty wheel."""
    tag = f"{name}-{version}"
    lines = [f"Requires-Dist: {requirement}\n" for requirement in requirements]
    meta = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: mqtt\n"
    path = folder / f"{tag}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{tag}.dist-info/METADATA", meta + "".join(lines))
        archive.writestr(f"{tag}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{tag}.dist-info/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes a folder that pip uses in place of the internet."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_wheelhouse_has_all_that_a_device_needs(index: Path, tmp_path: Path) -> None:
    make_wheel(index, "numpy", "2.0")
    make_wheel(index, "paho_mqtt", "2.1")
    wheel = make_wheel(tmp_path, "linewarden", "9.9", "numpy", "paho_mqtt; extra == 'mqtt'")
    wheels = tmp_path / "wheels"
    done = linewarden("service", "wheelhouse", wheels, "--source", wheel, "--extras", "mqtt")
    assert done.returncode == 0, done.stderr
    assert f"sudo wheels/{INSTALLER}" in done.stdout
    checked = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=wheels, check=True,
                             capture_output=True, text=True)  # fmt: skip
    assert sorted(line.partition("-")[0] for line in checked.stdout.splitlines()) == [
        "install.sh: OK",
        "linewarden",
        "numpy",
        "paho_mqtt",
        "requirements.lock: OK",
    ]


INSTALL = "pip install --no-index --find-links . --require-hashes --requirement requirements.lock"


def install(wheels: Path) -> subprocess.CompletedProcess[str]:
    """Installs as on the device, into a folder beside the wheels."""
    words = [*INSTALL.split(), "--target", str(wheels.with_name("installed")), "--isolated"]
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=wheels, capture_output=True, text=True, check=False
    )


def test_the_locked_wheels_alone_are_installed(index: Path, tmp_path: Path) -> None:
    make_wheel(index, "numpy", "2.0")
    make_wheel(index, "paho_mqtt", "2.1")
    wheel = make_wheel(tmp_path, "linewarden", "9.9", "numpy", "paho_mqtt; extra == 'mqtt'")
    wheels = tmp_path / "wheels"
    gather = ("service", "wheelhouse", wheels, "--source", wheel, "--extras", "mqtt")
    assert linewarden(*gather).returncode == 0
    again = linewarden(*gather)
    assert (again.returncode, "exists already" in again.stderr) == (3, True)
    done = install(wheels)
    assert done.returncode == 0, done.stderr
    installed = {path.name for path in (tmp_path / "installed").glob("*.dist-info")}
    assert installed == {f"{n}.dist-info" for n in ("linewarden-9.9", "numpy-2.0", "paho_mqtt-2.1")}
    make_wheel(wheels, "numpy", "2.0", "evil")  # the same name and version
    changed = install(wheels)
    assert changed.returncode != 0
    assert "numpy==2.0" in changed.stderr
    assert "DO NOT MATCH THE HASHES" in changed.stderr


def test_a_lock_brings_back_its_versions_and_refuses_a_changed_wheel(
    index: Path, tmp_path: Path
) -> None:
    make_wheel(index, "numpy", "2.0")
    wheel = make_wheel(tmp_path, "linewarden", "9.9", "numpy")
    lock = tmp_path / "locks/py3.10-aarch64.txt"

    def gather(name: str, *words: object) -> subprocess.CompletedProcess[str]:
        options = ("--source", wheel, "--extras", *words)
        return linewarden("service", "wheelhouse", tmp_path / name, *options)

    assert gather("first", "--write-lock", lock).returncode == 0
    assert lock.read_text().startswith("numpy==2.0 --hash=sha256:")
    assert "linewarden" not in lock.read_text()
    make_wheel(index, "numpy", "2.1")
    assert gather("newest").returncode == 0
    assert (tmp_path / "newest/numpy-2.1-py3-none-any.whl").exists()
    assert gather("locked", "--lock", lock).returncode == 0
    assert [path.name for path in (tmp_path / "locked").glob("numpy*")] == [
        "numpy-2.0-py3-none-any.whl"
    ]
    make_wheel(index, "numpy", "2.0", "evil")
    changed = gather("changed", "--lock", lock)
    assert changed.returncode == 3
    assert "numpy==2.0" in changed.stderr
    assert not (tmp_path / "changed").exists()
    assert gather("none", "--lock", tmp_path / "no.txt").returncode == 3


def test_a_lock_that_lacks_a_package_is_refused(index: Path, tmp_path: Path) -> None:
    make_wheel(index, "numpy", "2.0")
    make_wheel(index, "scipy", "1.1")
    wheel = make_wheel(tmp_path, "linewarden", "9.9", "numpy", "scipy")
    digest = sha256_of(index / "numpy-2.0-py3-none-any.whl")
    (tmp_path / "lock.txt").write_text(f"numpy==2.0 --hash=sha256:{digest}\n")
    words = ("--source", wheel, "--extras", "--lock", tmp_path / "lock.txt")
    done = linewarden("service", "wheelhouse", tmp_path / "wheels", *words)
    assert done.returncode == 3
    assert "scipy" in done.stderr
    assert not (tmp_path / "wheels").exists()


@pytest.mark.parametrize("target", ["lock", "wheelhouse"])
def test_make_locks_and_gathers_for_this_python(target: str, tmp_path: Path) -> None:
    binaries = tmp_path / "venv/bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    (tmp_path / "venv/.installed").touch()
    done = subprocess.run(
        ["make", "--dry-run", target, f"VENV={tmp_path}/venv", "MACHINE=x86_64"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    parser = argparse.ArgumentParser()
    service.add_arguments(parser)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    calls = [line.split()[2:] for line in done.stdout.splitlines() if "linewarden service" in line]
    locks = set()
    for call in calls:
        args = parser.parse_args(call)
        locks.add(str(args.lock or args.write_lock))
        assert args.python == here
        assert all(tag.endswith(args.folder.name.rpartition("-")[2]) for tag in args.platform)
    machines = ["aarch64", "x86_64"] if target == "lock" else ["x86_64"]
    assert locks == {f"locks/py{here}-{machine}.txt" for machine in machines}


def test_a_wheel_that_is_not_to_be_had_is_named(index: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "linewarden", "9.9", "numpy")
    done = linewarden("service", "wheelhouse", tmp_path / "wheels", "--source", wheel, "--extras")
    assert done.returncode == 3
    assert "numpy" in done.stderr
    assert not (tmp_path / "wheels/SHA256SUMS").exists()
