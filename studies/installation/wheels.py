"""Wheels for the study of the installation: of this version, of a next one, and of bad ones."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.doubles import device as devices
from tests.doubles.nspawn import REPOSITORY


class Wheels(NamedTuple):
    """Folders of wheels: the first version, the next, and three that must not come into force."""

    first: Path
    second: Path
    refusing: Path
    failing: Path
    failing_panel: Path


def gathered(work: Path) -> Wheels:
    """Gathers the wheels of the working copy, of a next version, and of two bad ones."""
    work.mkdir(parents=True, exist_ok=True)
    lock = work / "lock.txt"
    first = devices.gather(work / "first", lock=lock)
    station = "edge/station/config.py"
    does_not_start = ("\ndef ", "\nimport absent\n\ndef ")
    return Wheels(
        first,
        _variant(work / "second", lock, "9.0.0"),
        _variant(work / "refusing", lock, "9.0.1", station, "Literal[1] = 1", "Literal[2] = 2"),
        _variant(work / "failing", lock, "9.0.2", "edge/service/run.py", *does_not_start),
        _variant(work / "failing-panel", lock, "9.0.3", "edge/panel/server.py", *does_not_start),
    )


def _variant(work: Path, lock: Path, version: str, *change: str) -> Path:
    """Gathers the wheels of a version that has another number, and one change in a file."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        left_out = shutil.ignore_patterns("build", ".git", ".venv", "__pycache__", ".*_cache")
        shutil.copytree(REPOSITORY, copy, ignore=left_out)
        project = copy / "pyproject.toml"
        _replace(project, r'version = "[^"]+"', f'version = "{version}"')
        if change:
            name, old, new = change
            _replace(copy / name, re.escape(old), new)
        return devices.gather(work, source=copy, lock=lock)


def _replace(path: Path, pattern: str, new: str) -> None:
    text, count = re.subn(pattern, new.replace("\\", r"\\"), path.read_text(), count=1)
    assert count == 1, f"{path} has no {pattern}"
    path.write_text(text)
