"""Tells systemd of the services of a device."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edge.service.units import UNIT
from inspection.errors import LinewardenError

_SHOWN = ("ActiveState", "SubState", "Result", "NRestarts", "StatusText")


def prepare(drop_ins: Sequence[str]) -> None:
    """Lets systemd take new files: makes users and folders, reads rules and units.

    In the image of a device, systemd does so when the device starts.

    Raises:
        LinewardenError: a tool of systemd is missing or fails.
    """
    _call("systemd-sysusers", "/etc/sysusers.d/linewarden.conf")
    _call("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/linewarden.conf")
    if Path("/run/udev/control").exists():  # no container has it
        _call("udevadm", "control", "--reload")
        _call("udevadm", "trigger", "--subsystem-match=usb", "--subsystem-match=gpio")
    if "gige" in drop_ins:
        _call("sysctl", "--quiet", "--load", "/etc/sysctl.d/linewarden-gige.conf")
    reload()


def enable(unit: str, root: Path) -> None:
    """Starts a service with the device."""
    where = () if root == Path("/") else ("--root", str(root))
    _call("systemctl", *where, "enable", unit)


def disable(unit: str, root: Path) -> None:
    """Stops a service, where systemd runs, and no longer starts it with the device."""
    where = ("--now",) if is_here(root) else ("--root", str(root))
    _call("systemctl", "disable", *where, unit)


def stop(*units: str) -> None:
    """Stops services; one that does not run, or is not there, stays so."""
    for unit in units:
        if _call("systemctl", "list-units", "--plain", "--no-legend", "--all", unit).strip():
            _call("systemctl", "stop", unit)


def reload() -> None:
    """Lets systemd read the units again."""
    _call("systemctl", "daemon-reload")


def state(line: str) -> dict[str, str]:
    """Returns what systemd knows of the service of a line."""
    text = _call("systemctl", "show", UNIT.format(line=line), f"--property={','.join(_SHOWN)}")
    return dict(word.partition("=")[::2] for word in text.splitlines())


def is_here(root: Path) -> bool:
    """Returns whether the root is this device's, with systemd running."""
    return root == Path("/") and Path("/run/systemd/system").is_dir()


def _call(*words: str) -> str:
    """Runs a tool of systemd, and returns its output."""
    if shutil.which(words[0]) is None:
        raise LinewardenError(f"{words[0]}: not found; a service needs systemd 249 or later")
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise LinewardenError(f"{' '.join(words)}: {done.stderr.strip()}; are you root?")
    return done.stdout
