"""Measures starts as whole processes: one image inspected, and a line until systemd hears READY.

    python tests/bench/bench_start.py BUNDLE [rounds]

The bundle is calibrated through its FP32 graph. Both engines run in turn; prints medians of the
time, of the CPU time, which varies less on a loaded machine, and of the largest memory.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from inspection.bundle import open_bundle
from linewarden.text_table import aligned

ENGINES = ("onnxruntime", "openvino")
LIMIT_S = 120.0
COMMAND = (sys.executable, "-m", "linewarden")


class Start(NamedTuple):
    """Figures of one process."""

    wall_s: float
    cpu_s: float
    memory_mb: float


def main(folder: Path, rounds: int) -> None:
    bundle = open_bundle(folder)
    image = bundle.file(bundle.manifest.golden[0].frame)
    ways: dict[str, Callable[[str], Start]] = {
        "one image": lambda engine: inspected(folder, image, engine),
        "a line until READY": lambda engine: ready(folder, image, engine),
    }
    found: dict[tuple[str, str], list[Start]] = {}
    for _ in range(rounds):
        for name, measure in ways.items():
            for engine in ENGINES:
                found.setdefault((name, engine), []).append(measure(engine))
    rows = [("start", "engine", "s", "CPU s", "MB")]
    for (name, engine), starts in found.items():
        wall, cpu, memory = np.median(np.array(starts), axis=0)
        rows.append((name, engine, f"{wall:.2f}", f"{cpu:.2f}", f"{memory:.0f}"))
    print("\n".join(aligned(rows, numbers_from=2)))


def inspected(folder: Path, image: Path, engine: str) -> Start:
    words = ("inspect", str(image), "--bundle", str(folder), "--engine", engine)
    started = time.monotonic()
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return Start(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def ready(folder: Path, image: Path, engine: str) -> Start:
    with (
        tempfile.TemporaryDirectory() as scratch,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        address = f"{scratch}/notify"
        manager.bind(address)
        manager.settimeout(LIMIT_S)
        config = Path(scratch) / "line.yaml"
        config.write_text(yaml.safe_dump(line(folder, image, engine)))
        started = time.monotonic()
        process = subprocess.Popen(
            [*COMMAND, "run", "--service", "--config", str(config)],
            env={**os.environ, "NOTIFY_SOCKET": address},
            stderr=subprocess.DEVNULL,
        )
        try:
            while "READY=1" not in manager.recv(4096).decode():
                pass
            return Start(time.monotonic() - started, *used(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT_S)


def line(folder: Path, image: Path, engine: str) -> dict[str, object]:
    camera = {"kind": "replay", "path": str(image.resolve()), "loop": True, "rate_hz": 1}
    return {
        "schema_version": 1,
        "bundle": str(folder.resolve()),
        "engine": {"kind": engine, "artefact": "model.onnx"},
        "camera": camera,
        "deadline_ms": 5000,
        "outputs": [{"kind": "jsonlines", "path": "verdicts.jsonl"}],
        "records": {"folder": "records"},
    }


def used(pid: int) -> tuple[float, float]:
    """Returns the CPU seconds of a running process, and its largest memory in MB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(entry for entry in status.splitlines() if entry.startswith("VmHWM:"))
    return seconds, int(peak.split()[1]) / 1024


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(Path(given[1]), int(given.get(2, "5")))
