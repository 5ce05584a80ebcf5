"""The end of the demonstration: a line that replays its parts for ever, and the panel beside it.

The line is a process of its own, as on a device. The panel has the terminal, where its address and
the one-time password of its first account stand.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import yaml

from edge.service.signals import stopped_by_signals
from inspection.errors import ConfigError
from inspection.files import write_text
from linewarden import panel_process

_RATE_HZ = 1.0
_LOG = "live.log"


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
    path = out / "live.yaml"
    write_text(path, yaml.safe_dump(live, sort_keys=False))
    return path, panel_process.write_config(path, "demo", port=0)


def commands(live: Path, panel: Path) -> tuple[str, str]:
    """Returns the command lines of the line and of the panel."""
    return f"linewarden run --config {live}", f"linewarden panel --config {panel}"


def serve(live: Path, panel: Path) -> None:
    """Runs both until a signal ends them.

    Raises:
        ConfigError: the packages of the panel are absent, or the panel could not serve, which has
            said why.
    """
    panel_process.require_packages()
    with contextlib.ExitStack() as processes, live.with_name(_LOG).open("wb") as log:
        processes.enter_context(panel_process.process("run", live, stdout=log, stderr=log))
        served = processes.enter_context(panel_process.process("panel", panel))
        with stopped_by_signals(served.terminate) as received:
            code = served.wait()
    if code and not received:
        raise ConfigError(f"the panel ended with exit code {code}; its message stands above")
