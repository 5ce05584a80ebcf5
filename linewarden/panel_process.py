"""The panel as a process beside a line; whoever looks at it on this computer needs no login."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from inspection.config.plugins import require
from inspection.errors import ConfigError
from inspection.files import write_text

_END_S = 20.0


def require_packages() -> None:
    """Raises ConfigError where the packages of the panel are absent."""
    require("the panel", "starlette", "pip install 'linewarden[panel]'", ConfigError)


def write_config(line: Path, name: str, *, port: int) -> Path:
    """Writes `panel.yaml` beside the configuration of a line; returns its path.

    Args:
        name: of the line on the pages.
        port: 0 takes any free one, which the panel writes to standard error.
    """
    path = line.with_name("panel.yaml")
    config = {"lines": {name: line.name}, "folder": "panel", "port": port, "open_to_viewers": True}
    write_text(path, yaml.safe_dump(config, sort_keys=False))
    return path


@contextlib.contextmanager
def process(command: str, config: Path, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command with a configuration within the block, and ends it in order."""
    started = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "linewarden", command, "--config", str(config)], **streams
    )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(_END_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
