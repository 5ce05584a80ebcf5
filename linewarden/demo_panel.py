"""The end of the demonstration: a line that replays its parts for ever, and the panel beside it.

The line is a process of its own, as on a device. The panel has the terminal, where its address and
the one-time password of its first account stand.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from edge.service.signals import stopped_by_signals
from inspection.config.plugins import require
from inspection.errors import ConfigError
from inspection.files import write_text

_RATE_HZ = 1.0
_LOG = "live.log"
_END_S = 20.0


def write_configs(out: Path, station: dict[str, Any]) -> tuple[Path, Path]:
    """Writes `live.yaml` and `panel.yaml` in a folder; returns their paths.

    Args:
        station: the configuration of the line that replayed the parts once, with records.
    """
    live = station | {
        "camera": {**station["camera"], "rate_hz": _RATE_HZ, "loop": True},
        "outputs": [{"kind": "jsonlines", "path": "live.jsonl"}],
        "control_socket": "line.sock",
    }
    # Whoever looks needs no login; port 0 is any free one.
    panel = {"lines": {"demo": "live.yaml"}, "folder": "panel", "port": 0, "open_to_viewers": True}
    for name, content in (("live.yaml", live), ("panel.yaml", panel)):
        write_text(out / name, yaml.safe_dump(content, sort_keys=False))
    return out / "live.yaml", out / "panel.yaml"


def commands(live: Path, panel: Path) -> tuple[str, str]:
    """Returns the command lines of the line and of the panel."""
    return f"linewarden run --config {live}", f"linewarden panel --config {panel}"


def serve(live: Path, panel: Path) -> None:
    """Runs both until a signal ends them.

    Raises:
        ConfigError: the packages of the panel are absent, or the panel could not serve, which has
            said why.
    """
    require("the panel", "starlette", "pip install 'linewarden[panel]'", ConfigError)
    with contextlib.ExitStack() as processes, live.with_name(_LOG).open("wb") as log:
        processes.enter_context(_process("run", live, stdout=log, stderr=log))
        served = processes.enter_context(_process("panel", panel))
        with stopped_by_signals(served.terminate) as received:
            code = served.wait()
    if code and not received:
        raise ConfigError(f"the panel ended with exit code {code}; its message stands above")


@contextlib.contextmanager
def _process(command: str, config: Path, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command within the block, and ends it in order."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "linewarden", command, "--config", str(config)], **streams
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
