"""`linewarden trigger` on a running line, several views, and a restart after a kill."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from edge.station.control import ask
from inspection.bundle import Bundle
from tests.doubles.line_folder import (
    GENEROUS_S,
    RECORDS,
    ROOT,
    SOFTWARE_TRIGGER,
    command,
    linewarden,
    part,
    running,
    told,
    write_line,
    write_parts,
)
from tests.doubles.waiting import wait_for


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    write_parts(tmp_path / "parts", part(), part(), part(spot=True))
    write_parts(tmp_path / "sides", part(), part(spot=True), part())
    return write_line(tmp_path, SOFTWARE_TRIGGER, RECORDS)


def test_each_trigger_has_one_record_with_its_part_id(config: Path) -> None:
    with running(config) as process:
        triggers = []
        for words in [("--part-id", "A-17"), (), ("--json",)]:
            done = linewarden("trigger", "--config", config, *words)
            assert done.returncode == 0, done.stderr
            triggers.append(done.stdout.strip())
            wait_for(lambda: len(told(config)) == len(triggers), GENEROUS_S)
        triggers[2] = json.loads(triggers[2])["trigger_id"]
        assert [record["trigger_id"] for record in told(config)] == triggers
        assert [record["part_id"] for record in told(config)] == ["A-17", None, None]
        assert [record["verdict"] for record in told(config)] == ["PASS", "PASS", "REJECT"]
        ask(config.parent / "line.sock", "stop")
        output, _ = process.communicate(timeout=GENEROUS_S)
    assert process.returncode == 0
    assert output.startswith("3 parts: 2 PASS, 0 REVIEW, 1 REJECT")
    assert not (config.parent / "line.sock").exists()


def test_a_killed_line_starts_again_beside_its_old_socket(config: Path) -> None:
    with running(config) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(GENEROUS_S)
    path = config.parent / "line.sock"
    assert path.exists()
    done = linewarden("trigger", "--config", config)
    assert done.returncode == 7
    assert "check that `linewarden run` runs" in done.stderr
    again = subprocess.Popen(
        command("run", "--config", config), cwd=ROOT, stderr=subprocess.DEVNULL, text=True
    )
    try:

        def answers() -> bool:
            return linewarden("trigger", "--config", config).returncode == 0

        wait_for(answers, GENEROUS_S)
        second = linewarden("run", "--config", config, "--set", "records=null")
        assert second.returncode == 7
    finally:
        again.kill()
        again.wait(GENEROUS_S)


@pytest.mark.parametrize(
    ("setting", "exit_code", "message"),
    [
        ("control_socket=null", 3, "trigger.kind: 'software' needs control_socket ("),
        (
            "trigger={kind: encoder, counts: 5}",
            3,
            "'encoder' needs encoder (not given)",
        ),
        ("trigger.kind=sofware", 3, "software"),
        ("trigger.frame_limit_ms=40000", 3, "should not be above deadline_ms"),
        ("trigger={kind: presence, view: side}", 3, "trigger.view should be one of main"),
        ("views={side: {camera: {kind: replay, path: sides}}}", 3, "either 'camera' or 'views'"),
        ("lost_camera=wait", 3, "lost_camera"),
        ("control_socket=/nowhere/line.sock", 7, "its folder must exist"),
    ],
)
def test_bad_settings_are_named(config: Path, setting: str, exit_code: int, message: str) -> None:
    done = linewarden("run", "--config", config, "--set", setting)
    assert done.returncode == exit_code, done.stderr
    assert message in done.stderr


def test_a_camera_that_waits_for_the_program_needs_a_trigger_that_fires_it(config: Path) -> None:
    camera = "camera={kind: pylon, settings: {trigger: {source: Software}}}"
    done = linewarden("run", "--config", config, "--set", camera, "--set", "trigger={kind: camera}")
    assert done.returncode == 3
    assert "gives no frame by itself" in done.stderr


def test_a_line_whose_camera_announces_the_parts_refuses_commands(config: Path) -> None:
    text = config.read_text().replace("{kind: software, frame_limit_ms: 20000}", "{kind: camera}")
    config.write_text(text.replace("loop: true", "loop: true, rate_hz: 5"))
    with running(config):
        done = linewarden("trigger", "--config", config)
    assert done.returncode == 7
    assert "the cameras trigger this line" in done.stderr


def test_two_recordings_are_joined(config: Path) -> None:
    text = config.read_text().replace("camera: {kind: replay, path: parts, loop: true}\n", "")
    views = (
        "views:\n"
        "  top: {camera: {kind: replay, path: parts}}\n"
        "  side: {camera: {kind: replay, path: sides}}\n"
    )
    config.write_text(text.replace("kind: software", "kind: camera") + views)
    done = linewarden("run", "--config", config)
    assert done.returncode == 0, done.stderr
    found = told(config)[:3]  # one recording ends before the other
    assert [record["verdict"] for record in found] == ["PASS", "REJECT", "REJECT"]
    assert [record["view"] for record in found] == ["top", "side", "top"]
    assert [view["source"] for view in found[1]["views"]] == ["1.png", "1.png"]
    assert "  side  1.png" in done.stderr
    names = sorted(Path(name).name.partition("REJECT")[2] for name in found[1]["images"])
    assert names == [
        *(".side.frame.png", ".side.mask.png", ".side.overlay.jpg"),
        *(".top.frame.png", ".top.mask.png", ".top.overlay.jpg"),
    ]
    assert all(
        (config.parent / "records" / "images" / name).exists() for name in found[1]["images"]
    )


def test_parts_at_fixed_times(config: Path) -> None:
    text = config.read_text().replace("loop: true", "loop: false")
    config.write_text(text.replace("{kind: software, ", "{kind: interval, period_ms: 500, "))
    done = linewarden("run", "--config", config)
    assert done.returncode == 0, done.stderr
    assert [record["cause"] or record["verdict"] for record in told(config)][:3] == [
        *("PASS", "PASS", "REJECT")
    ]
