"""Trials of a layout: the command line, its outcome in a file, the version that is in force."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from edge.panel.inspected import Inspected
from edge.panel.zones.layouts import Version
from inspection.bundle.calibration_file import Calibration

PARTS = (10, 50, 200)  # the last ones, to try on


def in_force(versions: list[Version], active: Calibration | None) -> int | None:
    """Returns the number of the version whose layout the active calibration has."""
    if active is None or active.layout is None:
        return None
    layout = active.layout.model_dump(mode="json")
    for one in versions:
        if one.trial.exists() and trial_of(one)["calibration"].get("layout") == layout:
            return one.number
    return None


def trial_of(version: Version) -> dict[str, Any]:
    """Returns the outcome of a trial, as `linewarden layout try` writes it."""
    found: dict[str, Any] = json.loads(version.trial.read_text(encoding="utf-8"))
    return found


def commands_for(inspected: Inspected, version: Version, good: Path | None) -> list[str]:
    """Returns the command lines that try and take a version on the device."""
    words = words_to_try(inspected, version, good or Path("FOLDER"))
    trial = ["linewarden", *words, "--parts", "PATH"]
    take = ["linewarden", "layout", "take", inspected.bundle, version.trial, "--reason", "TEXT"]
    return [shlex.join(map(str, words)) for words in (trial, take)]


def words_to_try(inspected: Inspected, version: Version, good: Path) -> list[object]:
    """Returns the command line of a trial, after `linewarden`, without the parts to judge."""
    words: list[object] = ["layout", "try", inspected.bundle, version.path, "--good", good]
    return [*words, f"--recipe={inspected.recipe}", "--save", version.trial]
