"""The device that the panel runs on: temperatures, disks, the log of a line."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from inspection.errors import LinewardenError
from inspection.redaction import redacted

_JOURNAL_S = 5.0
_LINES = 40
_SEVERITIES = {0: "error", 1: "error", 2: "error", 3: "error", 4: "warning"}


@dataclass(frozen=True)
class Temperature:
    """A sensor of the kernel, in degrees Celsius."""

    name: str
    celsius: float


def temperatures(sensors: Path = Path("/sys/class/thermal")) -> list[Temperature]:
    """Returns the thermal zones that can be read; a virtual machine has none.

    https://docs.kernel.org/driver-api/thermal/sysfs-api.html
    """
    return sorted(_readable(sensors), key=lambda one: one.name)


def _readable(sensors: Path) -> Iterator[Temperature]:
    for zone in sensors.glob("thermal_zone*"):
        try:
            name = (zone / "type").read_text().strip()
            yield Temperature(name, int((zone / "temp").read_text()) / 1000)
        except (OSError, ValueError):
            continue  # a sensor that is switched off answers with an error


@dataclass(frozen=True)
class Disk:
    """The disk of a folder, in bytes."""

    folder: Path
    free: int
    total: int


def disk_of(folder: Path) -> Disk:
    """Returns the disk of a folder that exists.

    Raises:
        OSError: it cannot be read.
    """
    found = shutil.disk_usage(folder)
    return Disk(folder, found.free, found.total)


@dataclass(frozen=True)
class LogLine:
    """One line of the journal; severity "error", "warning" or "info"."""

    moment: datetime
    severity: str
    text: str


def log_of(unit: str) -> list[LogLine]:
    """Returns the newest lines of a unit in the journal, the newest first.

    Raises:
        LinewardenError: there is no journal here, or the panel may not read it.
    """
    words = ["journalctl", f"--unit={unit}", "--output=json", f"--lines={_LINES}", "--reverse"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, and a unit of the configuration
            words, capture_output=True, text=True, timeout=_JOURNAL_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LinewardenError(
            f"the journal cannot be read ({error}); the user of the panel must be in the group "
            "systemd-journal"
        ) from error
    return [_line(json.loads(text)) for text in done.stdout.splitlines()]


def _line(entry: dict[str, object]) -> LogLine:
    text = _message(entry.get("MESSAGE"))
    moment = datetime.fromtimestamp(int(str(entry["__REALTIME_TIMESTAMP"])) / 1e6, timezone.utc)
    severity = _SEVERITIES.get(int(str(entry.get("PRIORITY", 6))), "info")
    return LogLine(moment, severity, redacted(text))


def _message(value: object) -> str:
    """Returns the text of a message; see `--output=json` of journalctl(1)."""
    if value is None:
        return "(a message of more than 4096 bytes: journalctl --all)"
    # A text with bytes that are not UTF-8 comes as numbers.
    text = bytes(value).decode(errors="replace") if isinstance(value, list) else str(value)
    if text.startswith("{"):  # as `edge.service.logs` writes it, or another process
        with contextlib.suppress(ValueError):
            return str(json.loads(text).get("message", text))
    return text
