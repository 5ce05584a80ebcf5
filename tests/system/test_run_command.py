"""`linewarden run` and `linewarden inspect` as processes: verdicts, exit codes, signals, kills."""

import grp
import gzip
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.station.config import LineConfig
from inspection.bundle import Bundle
from inspection.config.loading import load_config
from inspection.images import read_image
from tests.doubles.line_folder import (
    GENEROUS_S,
    RECORDS,
    ROOT,
    command,
    linewarden,
    part,
    told,
    write_line,
    write_parts,
)
from tests.doubles.waiting import wait_for


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Writes two dark parts (pass), one with a bright spot (reject), and one damaged file."""
    folder = write_parts(tmp_path / "parts", part(), part(spot=True), part(), part())
    (folder / "2.png").write_bytes(b"damaged")
    return folder


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Bundle, parts: Path) -> Path:
    return write_line(tmp_path, "camera: {kind: replay, path: parts}\n", RECORDS)


def told_bytes(config: Path) -> int:
    """Returns the size of the JSON lines."""
    path = config.parent / "parts.jsonl"
    return path.stat().st_size if path.exists() else 0


@contextmanager
def hangups(handler: signal.Handlers) -> Iterator[None]:
    """Sets the handler of SIGHUP that new processes inherit."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def ended(process: subprocess.Popen[str]) -> str:
    """Waits for the end of a process and returns its output; kills it when it does not end."""
    try:
        return process.communicate(timeout=GENEROUS_S)[0]
    finally:
        process.kill()


def start_looping(config: Path, *settings: str) -> subprocess.Popen[str]:
    """Starts a line that never ends by itself, and waits until it has inspected parts."""
    before = told_bytes(config)
    process = subprocess.Popen(
        command("run", "--config", config, "--set", "camera.loop=true", *settings),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    wait_for(lambda: told_bytes(config) > before + 4000, GENEROUS_S)
    return process


def test_run_inspects_a_recording(config: Path) -> None:
    done = linewarden("run", "--config", config)
    assert done.returncode == 0, done.stderr
    records = told(config)
    outcomes = [record["cause"] or record["verdict"] for record in records]
    assert outcomes == ["PASS", "REJECT", "frame", "PASS"]
    assert records[1]["score"] == pytest.approx(250 / 255)
    assert len(done.stderr.splitlines()) == 4
    assert "4 parts: 2 PASS, 0 REVIEW, 1 REJECT, 1 NO_VERDICT" in done.stdout
    mask = read_image(config.parent / "records/images" / records[1]["images"][1])
    assert np.argwhere(mask).min(axis=0).tolist() == [10, 20]


def test_run_json(config: Path) -> None:
    done = linewarden("run", "--config", config, "--json")
    *records, last = map(json.loads, done.stdout.splitlines())
    assert [record["source"] for record in records] == ["0.png", "1.png", None, "3.png"]
    assert last["summary"]["causes"] == {"frame": 1}
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("setting", "exit_code", "message"),
    [
        ("deadline_ms=0", 3, "deadline_ms"),
        ("recipe=other", 4, "recipe 'other' is not calibrated"),
        ("camera.path=/nowhere", 5, "no such folder, video or image"),
        ("engine.kind=tensorflow", 6, "unknown engine 'tensorflow'"),
        ("records.images.keep=[GOOD]", 3, "records.images.keep"),
    ],
)
def test_run_refuses(config: Path, setting: str, exit_code: int, message: str) -> None:
    done = linewarden("run", "--config", config, "--set", setting)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert message in done.stderr


def test_a_full_output_is_told_after_the_last_part(config: Path) -> None:
    config.write_text(config.read_text().replace("parts.jsonl", "/dev/full"))
    done = linewarden("run", "--config", config)
    assert done.returncode == 7
    assert "4 parts" in done.stdout
    assert "/dev/full: cannot be written (No space left on device)" in done.stderr


def test_an_unwritable_archive_stops_nothing(config: Path) -> None:
    (config.parent / "records").mkdir()
    (config.parent / "records/images").write_text("a file where the folder should be")
    done = linewarden("run", "--config", config)
    assert done.returncode == 0
    assert "4 parts" in done.stdout
    assert "parts whose images could not be written: 1" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_in_order(config: Path, number: signal.Signals) -> None:
    process = start_looping(config)
    process.send_signal(number)
    output = ended(process)
    assert process.returncode == 128 + number
    records = told(config)
    assert output.startswith(f"{len(records)} parts: ")
    identities = [record["trigger_id"] for record in records]
    assert len(set(identities)) == len(identities)
    assert [int(name.rpartition("-")[2]) for name in identities] == list(
        range(1, len(identities) + 1)
    )


def gapless(records: Iterable[dict[str, Any]]) -> bool:
    """Whether the verdicts of one run are all there, in order."""
    numbers = [int(record["trigger_id"].rpartition("-")[2]) for record in records]
    return numbers == list(range(1, len(numbers) + 1))


def lines_of(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_a_renamed_file_and_a_hangup_lose_no_verdict(config: Path) -> None:
    with hangups(signal.SIG_DFL):  # also where this runs under nohup
        process = start_looping(config)
    path = config.parent / "parts.jsonl"
    old = [config.parent / f"parts.jsonl.{number}" for number in range(3)]
    for file in old:
        path.rename(file)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: told_bytes(config) > 4000, GENEROUS_S)
    process.send_signal(signal.SIGTERM)
    assert ended(process).startswith(f"{len(lines_of(*old, path))} parts: ")
    assert process.returncode == 128 + signal.SIGTERM
    assert gapless(lines_of(*old, path))


LOGROTATE = Path(shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin") or "logrotate")
needs_logrotate = pytest.mark.skipif(
    not LOGROTATE.is_absolute(), reason="needs logrotate (apt install logrotate)"
)


def logrotate(folder: Path, settings: str) -> None:
    """Rotates now, whatever the state; gzip and the rest as on a device."""
    path = folder / "logrotate.conf"
    path.write_text(settings)
    path.chmod(0o644)
    done = subprocess.run(
        [LOGROTATE, "--force", "--state", folder / "logrotate.state", path],
        capture_output=True,
        text=True,
        timeout=GENEROUS_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_logrotate
def test_the_logrotate_example_loses_no_verdict(config: Path) -> None:
    folder = config.parent
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    with hangups(signal.SIG_DFL):
        process = start_looping(config)
    example = (ROOT / "systemd/logrotate.d/linewarden").read_text()
    shipped = {
        "/var/lib/linewarden/*.jsonl": str(folder / "*.jsonl"),
        "/var/lib/linewarden/*/*.jsonl": "",
        "su linewarden linewarden": f"su {user} {group}",
        "systemctl reload 'linewarden@*.service'": f"kill -HUP {process.pid}",
    }
    for text, here in shipped.items():
        assert text in example
        example = example.replace(text, here)
    for _ in range(3):
        logrotate(folder, example)
        wait_for(lambda: told_bytes(config) > 4000, GENEROUS_S)
    process.send_signal(signal.SIGTERM)
    ended(process)
    packed = [folder / f"parts.jsonl.{number}.gz" for number in (3, 2)]
    lines = b"".join(gzip.decompress(file.read_bytes()) for file in packed).splitlines()
    records = [*map(json.loads, lines), *lines_of(folder / "parts.jsonl.1")]
    assert gapless([*records, *told(config)])


@needs_logrotate
def test_copytruncate_is_no_end_of_the_file(config: Path) -> None:
    with hangups(signal.SIG_DFL):
        process = start_looping(config)
    logrotate(config.parent, f"{config.parent}/*.jsonl {{\n rotate 3\n copytruncate\n}}\n")
    wait_for(lambda: told_bytes(config) > 4000, GENEROUS_S)
    process.send_signal(signal.SIGTERM)
    ended(process)
    assert gapless(lines_of(config.parent / "parts.jsonl.1"))
    # Verdicts between the copy and the cut are gone. None is missing after it, nor are there zeros.
    numbers = [int(record["trigger_id"].rpartition("-")[2]) for record in told(config)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_line_under_nohup_outlives_its_terminal(config: Path) -> None:
    with hangups(signal.SIG_IGN):
        process = start_looping(config)
    process.send_signal(signal.SIGHUP)
    size = told_bytes(config)
    wait_for(lambda: told_bytes(config) > size + 4000, GENEROUS_S)
    process.send_signal(signal.SIGTERM)
    ended(process)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_second_signal_forces(config: Path) -> None:
    # Nothing reads the full pipe: the output hangs, and so does the orderly stop.
    reader, writer = os.pipe()
    with (config.parent / "stderr.txt").open("w") as stderr:
        process = subprocess.Popen(
            command("run", "--config", config, "--json", "--set", "camera.loop=true"),
            cwd=ROOT,
            stdout=writer,
            stderr=stderr,
        )
    sizes = [0]

    def hangs() -> bool:
        time.sleep(0.3)
        sizes.append(told_bytes(config))
        is_full = not select.select([], [writer], [], 0)[1]
        return is_full and 0 < sizes[-1] == sizes[-2]

    wait_for(hangs, GENEROUS_S)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(GENEROUS_S) == -signal.SIGTERM
    os.close(reader)
    os.close(writer)


def test_a_kill_leaves_every_record_once(config: Path) -> None:
    for _ in range(3):
        process = start_looping(config)
        process.kill()
        process.communicate(timeout=GENEROUS_S)
    with (config.parent / "parts.jsonl").open("ab") as stream:
        stream.write(b'{"trigger_id": "torn')
    assert linewarden("run", "--config", config).returncode == 0
    identities = [record["trigger_id"] for record in told(config)]
    assert len(set(identities)) == len(identities)
    runs: dict[str, list[int]] = {}
    for name in identities:
        run, _, number = name.rpartition("-")
        runs.setdefault(run, []).append(int(number))
    assert len(runs) == 4
    for numbers in runs.values():
        assert numbers == list(range(1, len(numbers) + 1))


def test_inspect(tiny_bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    words = ("inspect", "--bundle", tiny_bundle.folder, "--save", saved)
    done = linewarden(*words, parts / "0.png", parts / "1.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{parts}/0.png: PASS 0.1961 <= 0.5",
        f"{parts}/1.png: REJECT 0.9804 > 0.5",
    ]
    assert sorted(path.name for path in saved.iterdir()) == [
        "0001_0.mask.png",
        "0001_0.overlay.jpg",
        "0002_1.mask.png",
        "0002_1.overlay.jpg",
    ]


def test_inspect_exit_codes(tiny_bundle: Bundle, parts: Path) -> None:
    words = ("inspect", "--bundle", tiny_bundle.folder, "--json", "--fail-on-reject")
    assert linewarden(*words, parts / "0.png").returncode == 0
    assert linewarden(*words, parts / "1.png").returncode == 10
    done = linewarden(*words, parts / "1.png", parts / "2.png", parts / "0.png")
    assert done.returncode == 5
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [entry["verdict"] for entry in found] == ["REJECT", "NO_VERDICT", "PASS"]
    assert found[1]["score"] is None
    assert "not an image" in found[1]["message"]


def test_commands_do_without_the_training_frameworks() -> None:
    code = (
        "import sys, linewarden.commands.run, linewarden.commands.inspect, edge.camera.replay;"
        "print({'torch', 'onnx', 'scipy', 'timm'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_the_example_configuration_is_valid() -> None:
    config = load_config(ROOT / "configs" / "line" / "replay.yaml", LineConfig)
    assert config.bundle.name == "flange"
    assert config.records is not None
    assert config.records.images is not None
    assert config.records.images.max_bytes == 2_000_000_000
